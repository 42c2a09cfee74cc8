//! The text of an error with all of its causes.

use std::error::Error;

/// Returns `error` and its sources as one line, outermost first, joined by `: `.
///
/// It is called once, where an error leaves the process: in a log line, or in the message of a command. Errors of Sealbus do
/// not print their source. Some errors of other crates do, at the end of their own text (those of sqlx, for example), so a
/// source that the line already ends with is not added again.
pub fn error_chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
    causes.fold(error.to_string(), |line, cause| if line.ends_with(&cause) { line } else { format!("{line}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::error_chain;

    #[derive(Debug, thiserror::Error)]
    #[error("the ledger is unreachable")]
    struct Unreachable(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("error communicating with database: {0}")]
    struct PrintsItsSource(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once() {
        let error = Unreachable(std::io::Error::other("connection refused"));
        assert_eq!(error_chain(&error), "the ledger is unreachable: connection refused");
    }

    #[test]
    fn a_source_that_was_printed_already_is_not_repeated() {
        let error = PrintsItsSource(std::io::Error::other("connection refused"));
        assert_eq!(error_chain(&error), "error communicating with database: connection refused");
    }
}
