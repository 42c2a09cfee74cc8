//! Errors in settings.

use std::io;
use std::path::PathBuf;

use super::ratio::Ratio;

/// A setting that is missing, invalid or unknown. No message contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value breaks its rule.
    #[error("{name}: {value} {fault} (from {place})")]
    Bad {
        /// Name of the variable.
        name: &'static str,
        /// Value in quotes, or a description if it is secret.
        value: String,
        /// The broken rule.
        fault: String,
        /// Source of the value.
        place: String,
    },
    /// Two values are valid but do not fit together.
    #[error(
        "{} is {larger} and {} is {smaller}: the first must be at least {} the second, or {}",
        ratio.larger, ratio.smaller, times(ratio.times), ratio.otherwise
    )]
    TooClose {
        /// The broken rule.
        ratio: &'static Ratio,
        /// Value that must be larger, set or by default.
        larger: String,
        /// Value that must be smaller, set or by default.
        smaller: String,
    },
    /// A required value is not set.
    #[error("{name} is not set: {about}")]
    Missing {
        /// Name of the variable.
        name: &'static str,
        /// Meaning of the variable.
        about: &'static str,
    },
    /// A value is set both directly and by a file.
    #[error("{name} and {name}_FILE are both set; set only one of them")]
    Twice {
        /// Name of the variable.
        name: &'static str,
    },
    /// A file with a value, or the configuration file, cannot be read.
    #[error("{name}: cannot read {}", path.display())]
    Unreadable {
        /// Name of the variable with the path.
        name: String,
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}: line {line}: {fault}", path.display())]
    NotToml {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The syntax error.
        fault: String,
    },
    /// The configuration file has an unknown key.
    #[error("{}: unknown key `{key}`{}", path.display(), suggestion.as_ref().map_or_else(String::new, |key| format!("; did you mean `{key}`?")))]
    UnknownKey {
        /// Path of the file.
        path: PathBuf,
        /// Unknown key.
        key: String,
        /// A similar key that exists.
        suggestion: Option<String>,
    },
}

fn times(times: u8) -> String {
    if times == 1 { "as much as".to_owned() } else { format!("{times} times") }
}
