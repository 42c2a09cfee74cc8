//! Errors in catalog files.

/// An error in a catalog file. Each variant names the file and the place in it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file is not YAML, does not have the form of a catalog file, or has an unknown key.
    #[error("{file}:{line}:{column}: {detail}")]
    Form {
        /// Name of the file.
        file: String,
        /// Line, counted from 1; 0 if it is not known.
        line: u64,
        /// Column, counted from 1; 0 if it is not known.
        column: u64,
        /// The error.
        detail: String,
    },
    /// A value has the right form but breaks a rule.
    #[error("{file}: {at}: {detail}")]
    Value {
        /// Name of the file.
        file: String,
        /// The keys that lead to the value, joined by ` > `.
        at: String,
        /// The error.
        detail: String,
    },
    /// A name is defined twice.
    #[error("{what} {name} is defined twice: in {first} and in {second}")]
    Twice {
        /// The kind of name: `event type`, `pattern`, `channel`, `module` or `default consumer`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that was read first.
        first: String,
        /// The file that was read second.
        second: String,
    },
}
