//! The two small choices that an event carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much an event hurries. It picks a lane on the wire, and never breaks a plan's order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others; it pulls its plan's elders along.
    High,
    /// What an event has that names none.
    #[default]
    Normal,
    /// After all others.
    Low,
}

/// The text is none of `high`, `normal`, `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a priority is high, normal or low")]
pub struct PriorityError;

impl Priority {
    /// `high`, `normal` or `low`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        [Self::High, Self::Normal, Self::Low]
            .into_iter()
            .find(|priority| priority.as_str() == text)
            .ok_or(PriorityError)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What of the payload is hashed and what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadMode {
    /// The canonical payload is hashed and kept.
    Plain = 1,
    /// An envelope around it is.
    Encrypted = 2,
    /// The canonical payload is hashed and not kept.
    HashOnly = 3,
}

impl PayloadMode {
    const ALL: [Self; 3] = [Self::Plain, Self::Encrypted, Self::HashOnly];

    /// `plain`, `encrypted` or `hash-only`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
            Self::HashOnly => "hash-only",
        }
    }

    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Its byte in the header: 1, 2 or 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The mode of that byte.
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
            assert_eq!(name.parse::<Priority>().unwrap().as_str(), name);
            assert_eq!(serde_json::to_value(name.parse::<Priority>().unwrap()).unwrap(), name);
        }
        assert_eq!("High".parse::<Priority>(), Err(PriorityError));
    }
}
