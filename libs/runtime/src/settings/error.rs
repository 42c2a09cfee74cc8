//! Why the settings were refused.

use std::io;
use std::path::PathBuf;

use super::ratio::Ratio;

/// One setting that is missing, wrong or unknown. No message holds the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value breaks its rule.
    #[error("{name}: {value} {fault} (from {place})")]
    Bad {
        /// The variable.
        name: &'static str,
        /// The value in quotes, or words in its place where it is secret.
        value: String,
        /// What is wrong with it.
        fault: String,
        /// Where it was given.
        place: String,
    },
    /// Two values are right alone and wrong together.
    #[error(
        "{} is {larger} and {} is {smaller}: the first has to be at least {} the second, or {}",
        ratio.larger, ratio.smaller, times(ratio.times), ratio.otherwise
    )]
    TooClose {
        /// What they have to obey.
        ratio: &'static Ratio,
        /// The value of the one that has to be larger, given or by default.
        larger: String,
        /// The value of the other.
        smaller: String,
    },
    /// A value that is needed was given nowhere.
    #[error("{name} is not set: {about}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it is for.
        about: &'static str,
    },
    /// A value was given both directly and by a file.
    #[error("{name} and {name}_FILE are both set: give one of them")]
    Twice {
        /// The variable.
        name: &'static str,
    },
    /// A file that holds a value, or the configuration file, cannot be read.
    #[error("{name}: cannot read {}", path.display())]
    Unreadable {
        /// The variable that names the file.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}: line {line}: {fault}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// The configuration file has a key that is no setting.
    #[error("{}: unknown key `{key}`{}", path.display(), suggestion.as_ref().map_or_else(String::new, |key| format!("; did you mean `{key}`?")))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The key that may have been meant.
        suggestion: Option<String>,
    },
}

fn times(times: u8) -> String {
    if times == 1 { "as much as".to_owned() } else { format!("{times} times") }
}
