//! The priority and the payload mode of an event.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The priority of an event. It selects a subject on the broker and never changes the order within a plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Delivered first, together with its predecessors in the plan.
    High,
    /// The priority of an event that does not state one.
    #[default]
    Normal,
    /// Delivered last.
    Low,
}

impl Priority {
    /// Returns `high`, `normal` or `low`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Returns the priority with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::High, Self::Normal, Self::Low].into_iter().find(|priority| priority.as_str() == name)
    }
}

/// How the payload of an event is hashed and stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadMode {
    /// The canonical data are hashed and stored.
    Plain = 1,
    /// An envelope with the encrypted data is hashed and stored.
    Encrypted = 2,
    /// The canonical data are hashed and not stored.
    HashOnly = 3,
}

impl PayloadMode {
    const ALL: [Self; 3] = [Self::Plain, Self::Encrypted, Self::HashOnly];

    /// Returns `plain`, `encrypted` or `hash-only`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
            Self::HashOnly => "hash-only",
        }
    }

    /// Returns the mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Returns the byte that stands for the mode in a header: 1, 2 or 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the mode with this byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.code() == code)
    }
}

impl fmt::Display for PayloadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_read_back() {
        for mode in PayloadMode::ALL {
            assert_eq!(PayloadMode::from_code(mode.code()), Some(mode));
            assert_eq!(PayloadMode::from_name(mode.as_str()), Some(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert_eq!((PayloadMode::from_code(0), PayloadMode::from_code(4)), (None, None));
        for name in ["high", "normal", "low"] {
            assert_eq!(Priority::from_name(name).unwrap().as_str(), name);
            assert_eq!(serde_json::to_value(Priority::from_name(name).unwrap()).unwrap(), name);
        }
        assert_eq!(Priority::from_name("High"), None);
    }
}
