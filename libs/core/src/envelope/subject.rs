//! What a data subject is called.

use std::fmt;

use crate::event::{FormatError, is_text};

/// Whose data an event holds: a person's or customer's name in the producer's own system, found in the event's data where the
/// catalog says.
///
/// It stands beside the wrapped key and nowhere else, so that erasing takes it too: it does not print itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataSubject(String);

impl DataSubject {
    /// The subject of this name: 1 to 255 bytes without control characters.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        if name.is_empty() || !is_text(name, 255) {
            return Err(FormatError::Field { field: "subject", rule: "1 to 255 bytes without control characters" });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name itself, for the row of its keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DataSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataSubject")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_plans_in_the_seal() {
        for good in ["1", "person-1", "Ada Lovelace", "a/b|c", &"ü".repeat(127)] {
            assert_eq!(DataSubject::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\u{1f}b", "\u{85}", &"ü".repeat(128)] {
            assert!(DataSubject::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_does_not_print() {
        assert_eq!(format!("{:?}", DataSubject::parse("Ada").unwrap()), "DataSubject");
    }
}
