//! Names of data subjects.

use std::fmt;

use crate::event::{FormatError, is_text};

/// The data subject of an event: the name of a person or customer in the producer's system. The catalog declares where it is in
/// the event's data.
///
/// It is stored only with the wrapped key, so that erasure removes it too. It is not printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataSubject(String);

impl DataSubject {
    /// Parses a name of 1 to 255 bytes without control characters.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        let fits = !name.is_empty() && is_text(name, 255);
        FormatError::require("subject", fits, "1 to 255 bytes without control characters")?;
        Ok(Self(name.to_owned()))
    }

    /// Returns the name, for the row of its keys.
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
    fn names_follow_the_rule_for_plans_in_the_seal() {
        for good in ["1", "person-1", "Ada Lovelace", "a/b|c", &"ü".repeat(127)] {
            assert_eq!(DataSubject::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\u{1f}b", "\u{85}", &"ü".repeat(128)] {
            assert!(DataSubject::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_not_printed() {
        assert_eq!(format!("{:?}", DataSubject::parse("Ada").unwrap()), "DataSubject");
    }
}
