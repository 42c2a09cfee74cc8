//! Names of tenants, plans, event types and subscriptions, by the rules of docs/spec/interface.md#names.
//!
//! These rules are stricter than those of the seal, so that a name can be part of a URL, a NATS subject and a shell command. A
//! name is checked once, where it enters the process; from then on its type guarantees the rule.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct NameError {
    /// The kind of name: `tenant`, `plan`, `event type`, `type pattern` or `subscription`.
    pub what: &'static str,
    /// The rule, as the end of a sentence.
    pub rule: &'static str,
}

/// Declares a type for a checked string, with `as_str`, Display, Debug, `FromStr` and serde: its name, the function by which it
/// is deserialised, the kind of name, and the rule as the end of a sentence.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $read:ident, $what:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            fn checked(text: &str, follows_rule: bool) -> Result<Self, NameError> {
                if follows_rule { Ok(Self(text.to_owned())) } else { Err(NameError { what: $what, rule: $rule }) }
            }

            /// Returns the name.
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

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                $name::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::$read(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

name! {
    /// A tenant, the owner of plans: `[a-z0-9][a-z0-9_-]{0,62}`. Names that begin with `_`, such as `_system`, are reserved;
    /// deserialisation accepts them.
    Tenant, parse_any, "tenant", "1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit"
}
name! {
    /// A plan, an ordered unit of work and the key of a chain: 1 to 200 characters of `A-Za-z0-9._:@~+=-`, not beginning with
    /// `.`. Names that begin with `_` are reserved; deserialisation accepts them.
    Plan, parse_any, "plan", "1 to 200 characters of A-Z, a-z, 0-9 and ._:@~+=-, not beginning with . or _"
}
name! {
    /// An event type, such as `payment.settled`.
    EventType, parse, "event type",
    "1 to 8 tokens of A-Z, a-z, 0-9, _ and -, joined by dots, at most 128 characters"
}
name! {
    /// A subscription. Its name does not end in `-` and digits, because the consumers of its partitions are named so.
    Subscription, parse, "subscription",
    "1 to 48 characters of a-z, 0-9, _ and -, beginning with a letter and not ending in - and digits"
}
name! {
    /// A pattern for event types: `*` matches all types, `shift.*` all types under `shift` at any depth, and anything else
    /// exactly that type.
    TypePattern, parse, "type pattern", "* for all types, shift.* for all types under shift, or one event type"
}

impl Tenant {
    /// Parses the tenant of a request. Reserved names are refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::checked(text, Self::parse_any(text).is_ok() && !text.starts_with('_'))
    }

    /// Parses a tenant to read from. Reserved names are accepted.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        let fits = (1..=63).contains(&text.len()) && text.bytes().all(is_lower_character) && !text.starts_with('-');
        Self::checked(text, fits)
    }

    /// Returns the tenant `_system`, whose plan [`Plan::keys`] holds the history of the signing keys.
    pub fn system() -> Self {
        Self("_system".to_owned())
    }
}

impl Plan {
    /// Parses the plan of a request. Reserved names are refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::checked(text, Self::parse_any(text).is_ok() && !text.starts_with('_'))
    }

    /// Parses a plan to read from. Reserved names are accepted.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        let is_plan_character = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@~+=-".contains(&byte);
        let fits = (1..=200).contains(&text.len()) && text.bytes().all(is_plan_character) && !text.starts_with('.');
        Self::checked(text, fits)
    }

    /// Returns the plan `_keys`, which holds the history of the signing keys, in the tenant [`Tenant::system`].
    pub fn keys() -> Self {
        Self("_keys".to_owned())
    }

    /// Returns the plan `_deliveries`, which holds the operator commands on a tenant's deliveries.
    pub fn deliveries() -> Self {
        Self("_deliveries".to_owned())
    }

    /// Returns the plan `_ledger`, which holds what operators decided about the ledger as a whole, in the tenant
    /// [`Tenant::system`].
    pub fn ledger() -> Self {
        Self("_ledger".to_owned())
    }

    /// Returns the plan `_erasures`, which holds the erasures of a tenant's data keys.
    pub fn erasures() -> Self {
        Self("_erasures".to_owned())
    }
}

impl EventType {
    /// Parses an event type.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_character);
        let fits = text.len() <= 128 && text.split('.').count() <= 8 && text.split('.').all(is_token);
        Self::checked(text, fits)
    }
}

/// Returns whether only Sealbus itself writes events of this type: all types under `key` and `delivery`,
/// `subject.erased` and `ledger.history_confirmed`.
pub fn is_reserved_type(event_type: &str) -> bool {
    ["subject.erased", "ledger.history_confirmed"].contains(&event_type)
        || event_type.starts_with("key.")
        || event_type.starts_with("delivery.")
}

impl Subscription {
    /// Parses the name of a subscription.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let stem = text.trim_end_matches(|last: char| last.is_ascii_digit());
        let looks_like_a_partition = stem.len() < text.len() && stem.ends_with('-');
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        let fits = begins && text.len() <= 48 && text.bytes().all(is_lower_character);
        Self::checked(text, fits && !looks_like_a_partition)
    }
}

impl TypePattern {
    /// Parses a pattern: `*`, an event type, or an event type followed by `.*`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        Self::checked(text, text == "*" || EventType::parse(stem).is_ok())
    }

    /// Returns whether the pattern matches an event type. `shift.*` does not match `shift` itself.
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix),
            None => self.0 == event_type,
        }
    }
}

fn is_lower_character(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
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
            assert!(Plan::parse(own.as_str()).is_err());
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
    fn types_that_only_begin_like_reserved_ones_are_not_reserved() {
        for free in ["keyboard.pressed", "delivery", "subject.erased.again", "subject.created"] {
            assert!(!is_reserved_type(free), "{free}");
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
    fn deserialisation_applies_the_same_rules() {
        assert_eq!(serde_json::from_str::<Plan>("\"_keys\"").unwrap(), Plan::keys());
        assert!(serde_json::from_str::<EventType>("\"a..b\"").is_err());
        assert_eq!(serde_json::to_string(&Tenant::system()).unwrap(), "\"_system\"");
    }
}
