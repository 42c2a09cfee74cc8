//! An error with all of its causes, as one line: for the boundary where it is logged, once.

use std::error::Error;
use std::fmt::Write;

/// `error` and its sources, outermost first, joined by `: `.
///
/// Errors of Sealbus print no source of their own, so nothing is said twice.
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {inner}");
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::error_chain;

    #[derive(Debug, thiserror::Error)]
    #[error("the ledger is away")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn names_every_cause_once() {
        let error = Outer(std::io::Error::other("connection refused"));
        assert_eq!(error_chain(&error), "the ledger is away: connection refused");
    }
}
