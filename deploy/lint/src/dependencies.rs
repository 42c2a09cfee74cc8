//! The crates that each crate of the workspace may depend on.

/// One direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The crate that has the dependency.
    pub from: String,
    /// The crate that it depends on.
    pub to: String,
    /// Whether only the tests of `from` use `to`.
    pub only_tests: bool,
}

/// For each crate, the crates of the workspace that it may depend on. Only `sealbus` may depend on services.
const ALLOWED: &[(&str, &[&str])] = &[
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
    // A witness is independent of the deployment whose log it cosigns: it knows neither ledger nor broker.
    ("sealbus-witness", &["sealbus-core", "sealbus-runtime"]),
    ("sealbus-lint", &[]),
];

/// Drivers and the crates that may use them. The consumer and the sinks use sqlx for the transaction of a position.
const DRIVERS: &[(&str, &[&str])] = &[
    ("sqlx", &["sealbus-ledger", "sealbus-consumer", "sealbus-dispatcher", "sealbus-testkit"]),
    ("async-nats", &["sealbus-broker", "sealbus-testkit"]),
    ("axum", &["sealbus-publisher", "sealbus-witness", "sealbus-runtime"]),
];

/// Crates that do I/O, which core must not use.
const IMPURE: &[&str] = &["tokio", "sqlx", "axum", "async-nats", "reqwest"];

/// Returns why a dependency is not allowed, or `None` if it is.
pub(crate) fn refusal(dependency: &Dependency) -> Option<String> {
    let Dependency { from, to, only_tests } = dependency;
    if *only_tests {
        // Tests may use the testkit and any crate except services.
        let service = ["sealbus-publisher", "sealbus-relay", "sealbus-sealer", "sealbus-dispatcher", "sealbus-witness"]
            .contains(&to.as_str());
        return (service && from != "sealbus")
            .then(|| format!("the tests of {from} use {to}, but only sealbus may use services"));
    }
    if to == "sealbus-testkit" {
        return Some(format!("{from} depends on sealbus-testkit outside its tests"));
    }
    if let Some((driver, allowed)) = DRIVERS.iter().find(|(driver, _)| driver == to)
        && !allowed.contains(&from.as_str())
    {
        return Some(format!("{from} uses {driver}, which only these may use: {}", allowed.join(", ")));
    }
    if from == "sealbus-core" && IMPURE.contains(&to.as_str()) {
        return Some(format!("sealbus-core uses {to}, but it must do no I/O"));
    }
    if from == "sealbus" || !to.starts_with("sealbus") {
        return None;
    }
    let allowed = ALLOWED.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, allowed)| *allowed);
    (!allowed.contains(&to.as_str())).then(|| {
        format!(
            "{from} depends on {to}; it may depend on {}",
            if allowed.is_empty() { "no crate of the workspace".into() } else { allowed.join(", ") }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(from: &str, to: &str) -> Dependency {
        Dependency { from: from.into(), to: to.into(), only_tests: false }
    }

    #[test]
    fn a_forbidden_dependency_is_reported() {
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
            let fault = refusal(&dependency(from, to)).unwrap_or_else(|| panic!("{from} → {to} was not reported"));
            assert!(fault.contains(from) && fault.contains(to), "{fault}");
        }
    }

    #[test]
    fn allowed_dependencies_pass() {
        for (from, to) in [
            ("sealbus", "sealbus-publisher"),
            ("sealbus-ledger", "sealbus-core"),
            ("sealbus-ledger", "sqlx"),
            ("sealbus-core", "sha2"),
        ] {
            assert_eq!(refusal(&dependency(from, to)), None);
        }
        assert_eq!(refusal(&Dependency { only_tests: true, ..dependency("sealbus-ledger", "sealbus-testkit") }), None);
    }
}
