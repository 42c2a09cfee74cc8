//! What things may be called: INTERFACE's rules, narrower than the seal's, so that a name fits a path, a NATS subject and a
//! shell. A name is checked once, where it comes in; inside, its type says that it was.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is {rule}")]
pub struct NameError {
    /// What it was to name: `tenant`, `plan`, `event type`, `type pattern`, `subscription`.
    pub what: &'static str,
    /// The rule, for a person to read.
    pub rule: &'static str,
}

/// A newtype over a checked string: `as_str`, Display, Debug, `FromStr`, serde, all by `parse`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $read:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                $name::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::$read(&text).map_err(D::Error::custom)
            }
        }
    };
}

name! {
    /// Whose plans and events they are: `[a-z0-9][a-z0-9_-]{0,62}`. `_system` is Sealbus' own. Read from JSON, its own is
    /// admitted too.
    Tenant, parse_any
}
name! {
    /// An ordered unit of work, the key of a chain: 1 to 200 of `A-Za-z0-9._:@~+=-`, not beginning with `.`. Names that
    /// begin with `_` are Sealbus' own; read from JSON they are admitted too.
    Plan, parse_any
}
name! {
    /// What happened: tokens of `A-Za-z0-9_-` joined by `.`, at most 8 of them and 128 characters.
    EventType, parse
}
name! {
    /// A named consumer: `[a-z][a-z0-9_-]{0,47}`, not ending in `-` and digits, which is how its partitions end.
    Subscription, parse
}
name! {
    /// Some event types: `*` is all, `shift.*` all under `shift` at any depth, anything else that one type.
    TypePattern, parse
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn tenant_character(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

fn plan_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:@~+=-".contains(&byte)
}

fn type_token(token: &str) -> bool {
    !token.is_empty() && all(token, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl Tenant {
    /// A tenant that a caller names: one of Sealbus' own is refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_any(text).and_then(|tenant| if tenant.is_own() { Err(Self::error()) } else { Ok(tenant) })
    }

    /// A tenant to read from: Sealbus' own too.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        let well_formed = (1..=63).contains(&text.len()) && all(text, tenant_character) && !text.starts_with('-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(Self::error()) }
    }

    /// `_system`, whose plan [`Plan::keys`] tells the history of the keys.
    pub fn system() -> Self {
        Self("_system".to_owned())
    }

    /// Whether the name is Sealbus' own.
    pub fn is_own(&self) -> bool {
        self.0.starts_with('_')
    }

    fn error() -> NameError {
        NameError { what: "tenant", rule: "1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit" }
    }
}

impl Plan {
    /// A plan that a caller names: one of Sealbus' own is refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_any(text).and_then(|plan| if plan.is_own() { Err(Self::error()) } else { Ok(plan) })
    }

    /// A plan to read from: Sealbus' own too.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        let well_formed = (1..=200).contains(&text.len()) && all(text, plan_character) && !text.starts_with('.');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(Self::error()) }
    }

    /// `_keys`: the history of the keys, in tenant [`Tenant::system`].
    pub fn keys() -> Self {
        Self("_keys".to_owned())
    }

    /// `_deliveries`: what operators did about a tenant's deliveries.
    pub fn deliveries() -> Self {
        Self("_deliveries".to_owned())
    }

    /// `_erasures`: which of a tenant's data keys were destroyed.
    pub fn erasures() -> Self {
        Self("_erasures".to_owned())
    }

    /// Whether the name is Sealbus' own.
    pub fn is_own(&self) -> bool {
        self.0.starts_with('_')
    }

    fn error() -> NameError {
        NameError { what: "plan", rule: "1 to 200 of A-Z, a-z, 0-9 and ._:@~+=-, not beginning with . or _" }
    }
}

impl EventType {
    /// An event type.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() <= 128 && text.split('.').count() <= 8 && text.split('.').all(type_token) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            what: "event type",
            rule: "1 to 8 tokens of A-Z, a-z, 0-9, _ and -, joined by dots, at most 128 characters",
        })
    }
}

impl Subscription {
    /// A subscription's name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let stem = text.trim_end_matches(|last: char| last.is_ascii_digit());
        let looks_like_a_partition = stem.len() < text.len() && stem.ends_with('-');
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins && text.len() <= 48 && all(text, tenant_character) && !looks_like_a_partition {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            what: "subscription",
            rule: "1 to 48 of a-z, 0-9, _ and -, beginning with a letter and not ending in - and digits",
        })
    }
}

impl TypePattern {
    /// `*`, an event type, or an event type and `.*`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        if text == "*" || EventType::parse(stem).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError { what: "type pattern", rule: "* for all types, shift.* for all under shift, or one event type" })
    }

    /// Whether the event type is one of them. `shift.*` does not hold `shift` itself.
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix),
            None => self.0 == event_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants() {
        for good in ["acme", "0", "a_b-c", &"a".repeat(63)] {
            assert_eq!(Tenant::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "_a", "_system", "A", "a.b", "a b", "é", &"a".repeat(64), "a\n"] {
            assert!(Tenant::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Tenant::parse_any("_system").unwrap(), Tenant::system());
    }

    #[test]
    fn plans() {
        for good in ["order-42", "a.b:c@d~e+f=g", "0", &"p".repeat(200)] {
            assert_eq!(Plan::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".a", "_keys", "a/b", "a b", "a|b", "é", "a%20b", &"p".repeat(201)] {
            assert!(Plan::parse(bad).is_err(), "{bad:?}");
        }
        for own in [Plan::keys(), Plan::deliveries(), Plan::erasures()] {
            assert_eq!(Plan::parse_any(own.as_str()).unwrap(), own);
            assert!(own.is_own());
        }
    }

    #[test]
    fn event_types() {
        for good in ["x", "payment.settled", "a.b.c.d.e.f.g.h", &"t".repeat(128)] {
            assert_eq!(EventType::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", "*", "a b", "a|b", "a.b.c.d.e.f.g.h.i", &"t".repeat(129)] {
            assert!(EventType::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn subscriptions() {
        for good in ["audit-storage", "a", "a1", "a-1b", "a_1", &"s".repeat(48)] {
            assert_eq!(Subscription::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "audit-1", "audit-123", "1a", "-a", "_a", "Audit", "a.b", &"s".repeat(49)] {
            assert!(Subscription::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns() {
        let matching = |pattern: &str, event_type: &str| TypePattern::parse(pattern).unwrap().matches(event_type);
        assert!(matching("*", "anything.at.all"));
        assert!(matching("shift.*", "shift.begun") && matching("shift.*", "shift.a.b"));
        assert!(
            !matching("shift.*", "shift") && !matching("shift.*", "shifted.x") && !matching("shift.*", "a.shift.b")
        );
        assert!(matching("shift.begun", "shift.begun") && !matching("shift.begun", "shift.begun.x"));
        for bad in ["", "**", "shift*", "shift.*.x", ".*", "*.*", "shift.**", "shift.>"] {
            assert!(TypePattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn json_reads_by_the_same_rules() {
        assert_eq!(serde_json::from_str::<Plan>("\"_keys\"").unwrap(), Plan::keys());
        assert!(serde_json::from_str::<EventType>("\"a..b\"").is_err());
        assert_eq!(serde_json::to_string(&Tenant::system()).unwrap(), "\"_system\"");
    }
}
