//! Why a catalog is refused.

/// What is wrong with a catalog file; each names the file, and the place in it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not YAML, not of the form of a catalog file, or with a key that is not known.
    #[error("{file}:{line}:{column}: {detail}")]
    Form {
        /// Which file.
        file: String,
        /// Counted from 1; 0 where it is not known.
        line: u64,
        /// Counted from 1; 0 where it is not known.
        column: u64,
        /// What is wrong.
        detail: String,
    },
    /// A value of the right form that means nothing.
    #[error("{file}: {at}: {detail}")]
    Value {
        /// Which file.
        file: String,
        /// Keys from the top, joined by ` > `.
        at: String,
        /// What is wrong.
        detail: String,
    },
    /// One name for two things.
    #[error("{what} {name} is defined twice: in {first} and in {second}")]
    Twice {
        /// `event type`, `pattern`, `channel`, `module` or `default consumer`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The file read first.
        first: String,
        /// The file read second.
        second: String,
    },
}
