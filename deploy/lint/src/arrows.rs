//! Which crate may depend on which: the shape of the house.

/// One direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The crate that depends.
    pub from: String,
    /// The crate depended on.
    pub to: String,
    /// Whether only its tests do.
    pub only_tests: bool,
}

/// What each crate of the house may use of the house. Only `sealbus` sees services.
const HOUSE: &[(&str, &[&str])] = &[
    ("sealbus-core", &[]),
    ("sealbus-runtime", &["sealbus-core"]),
    ("sealbus-backing", &[]),
    ("sealbus-ledger", &["sealbus-core"]),
    ("sealbus-broker", &["sealbus-core"]),
    ("sealbus-client", &["sealbus-core"]),
    ("sealbus-consumer", &["sealbus-core", "sealbus-ledger", "sealbus-broker"]),
    ("sealbus-testkit", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-backing"]),
    ("sealbus-publisher", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-runtime"]),
    ("sealbus-relay", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-runtime"]),
    ("sealbus-sealer", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-client", "sealbus-runtime"]),
    (
        "sealbus-dispatcher",
        &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-consumer", "sealbus-runtime"],
    ),
    // Out of the log's hands: no ledger, no broker.
    ("sealbus-witness", &["sealbus-core", "sealbus-runtime"]),
    ("sealbus-lint", &[]),
];

/// Drivers, and the crates that may use them: the consumer and the sinks for the position's transaction.
const DRIVERS: &[(&str, &[&str])] = &[
    ("sqlx", &["sealbus-ledger", "sealbus-consumer", "sealbus-dispatcher", "sealbus-testkit"]),
    ("async-nats", &["sealbus-broker", "sealbus-testkit"]),
    ("axum", &["sealbus-publisher", "sealbus-witness", "sealbus-runtime"]),
];

/// What core does without, to stay pure.
const IMPURE: &[&str] = &["tokio", "sqlx", "axum", "async-nats", "reqwest"];

/// What is wrong with a dependency, if anything.
pub(crate) fn wrong(dependency: &Dependency) -> Option<String> {
    let Dependency { from, to, only_tests } = dependency;
    if *only_tests {
        // Tests stand on the testkit, and look at whatever they want, but for services.
        let service = ["sealbus-publisher", "sealbus-relay", "sealbus-sealer", "sealbus-dispatcher", "sealbus-witness"]
            .contains(&to.as_str());
        return (service && from != "sealbus")
            .then(|| format!("the tests of {from} use {to}: only sealbus wires services"));
    }
    if to == "sealbus-testkit" {
        return Some(format!("{from} depends on sealbus-testkit, which is for tests only"));
    }
    if let Some((driver, allowed)) = DRIVERS.iter().find(|(driver, _)| driver == to)
        && !allowed.contains(&from.as_str())
    {
        return Some(format!("{from} uses {driver}, which belongs to {}", allowed.join(", ")));
    }
    if from == "sealbus-core" && IMPURE.contains(&to.as_str()) {
        return Some(format!("sealbus-core uses {to}, and is to stay pure"));
    }
    if from == "sealbus" || !to.starts_with("sealbus") {
        return None;
    }
    let allowed = HOUSE.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, allowed)| *allowed);
    (!allowed.contains(&to.as_str())).then(|| {
        format!(
            "{from} depends on {to}; it may depend on {}",
            if allowed.is_empty() { "none of the house".into() } else { allowed.join(", ") }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str) -> Dependency {
        Dependency { from: from.into(), to: to.into(), only_tests: false }
    }

    #[test]
    fn a_wrong_arrow_is_named() {
        for (from, to) in [
            ("sealbus-ledger", "sealbus-broker"),
            ("sealbus-broker", "sealbus-ledger"),
            ("sealbus-publisher", "sealbus-relay"),
            ("sealbus-core", "tokio"),
            ("sealbus-core", "sealbus-ledger"),
            ("sealbus-relay", "sqlx"),
            ("sealbus-consumer", "async-nats"),
            ("sealbus-relay", "sealbus-testkit"),
            ("sealbus-witness", "sealbus-ledger"),
            ("sealbus-new", "sealbus-core"),
        ] {
            let said = wrong(&arrow(from, to)).unwrap_or_else(|| panic!("{from} → {to} was let pass"));
            assert!(said.contains(from) && said.contains(to), "{said}");
        }
    }

    #[test]
    fn the_house_stands() {
        for (from, to) in [
            ("sealbus", "sealbus-publisher"),
            ("sealbus-ledger", "sealbus-core"),
            ("sealbus-ledger", "sqlx"),
            ("sealbus-core", "sha2"),
        ] {
            assert_eq!(wrong(&arrow(from, to)), None);
        }
        assert_eq!(wrong(&Dependency { only_tests: true, ..arrow("sealbus-ledger", "sealbus-testkit") }), None);
    }
}
