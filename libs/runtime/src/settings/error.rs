//! Errors in settings.

use std::io;
use std::path::PathBuf;

/// A setting that is missing, invalid or unknown. No message contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value breaks its rule, a required value is not set, a value is set twice, or the configuration file has a syntax
    /// error or an unknown key. The text names the variable or the file.
    #[error("{0}")]
    Refused(String),
    /// Two values are valid but do not fit together.
    #[error("{0}")]
    TooClose(String),
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
}
