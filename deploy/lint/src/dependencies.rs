//! The crates that each crate of the workspace may depend on.

use serde::Deserialize;

/// A direct dependency of a crate, as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The crate that is depended on.
    pub name: String,
    /// `dev` for a dependency of the tests, or `None` for one of the crate itself.
    pub kind: Option<String>,
}

/// For each crate, the crates of the workspace and the drivers that it may depend on. `sealbus` may depend on every crate
/// of the workspace except the testkit. The consumer and the sinks use sqlx for the transaction of a position. A witness is independent of
/// the deployment whose log it cosigns: it knows neither ledger nor broker.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sealbus-runtime", &["sealbus-core", "axum"]),
    ("sealbus-ledger", &["sealbus-core", "sqlx"]),
    ("sealbus-broker", &["sealbus-core", "async-nats"]),
    ("sealbus-client", &["sealbus-core"]),
    ("sealbus-consumer", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-runtime", "sqlx"]),
    ("sealbus-testkit", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-backing", "sqlx", "async-nats"]),
    ("sealbus-publisher", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-runtime", "axum"]),
    ("sealbus-relay", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-runtime"]),
    ("sealbus-sealer", &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-client", "sealbus-runtime"]),
    (
        "sealbus-dispatcher",
        &["sealbus-core", "sealbus-ledger", "sealbus-broker", "sealbus-consumer", "sealbus-runtime", "sqlx"],
    ),
    ("sealbus-witness", &["sealbus-core", "sealbus-runtime", "axum"]),
];

const SERVICES: &[&str] =
    &["sealbus-publisher", "sealbus-relay", "sealbus-sealer", "sealbus-dispatcher", "sealbus-witness"];
const DRIVERS: &[&str] = &["sqlx", "async-nats", "axum"];
/// Crates other than drivers that do I/O, which core must not use.
const IMPURE: &[&str] = &["tokio", "reqwest"];

/// Returns why the crate `from` may not have a dependency, or `None` if it may.
pub(crate) fn refusal(from: &str, dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    let in_workspace = to.starts_with("sealbus");
    if dependency.kind.as_deref() == Some("dev") {
        // Tests may use the testkit and any crate except services.
        return (SERVICES.contains(&to) && from != "sealbus")
            .then(|| format!("the tests of {from} use {to}, but only sealbus may use services"));
    }
    let is_limited = in_workspace || DRIVERS.contains(&to) || from == "sealbus-core" && IMPURE.contains(&to);
    let allowed = ALLOWED.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, allowed)| *allowed);
    let is_allowed = allowed.contains(&to) || from == "sealbus" && in_workspace && to != "sealbus-testkit";
    (is_limited && !is_allowed).then(|| {
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        format!("{from} depends on {to}; of the workspace and the drivers it may use: {allowed}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(name: &str) -> Dependency {
        Dependency { name: name.into(), kind: None }
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
            let fault = refusal(from, &dependency(to)).unwrap_or_else(|| panic!("{from} → {to} was not reported"));
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
            assert_eq!(refusal(from, &dependency(to)), None);
        }
        let of_tests = Dependency { kind: Some("dev".into()), ..dependency("sealbus-testkit") };
        assert_eq!(refusal("sealbus-ledger", &of_tests), None);
    }
}
