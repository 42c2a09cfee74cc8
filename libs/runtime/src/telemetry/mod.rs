//! The log and the [`metrics`] of a process. There is one log, on stderr, so that stdout has only the output of a command.

pub mod metrics;
mod process;

use std::io::IsTerminal;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::LogFormat;

/// Levels for crates whose `info` and `debug` messages do not concern operators. A filter that names such a crate overrides them.
const QUIET: &str = "sqlx=warn,async_nats=warn,hyper=warn,h2=warn,reqwest=warn,rustls=warn,tower_http=warn";

/// The filter of the log is not valid.
#[derive(Debug, thiserror::Error)]
#[error("SEALBUS_LOG: \"{filter}\" is not a level or comma-separated target=level pairs")]
pub struct FilterError {
    filter: String,
    source: ParseError,
}

/// Starts the log of this process. `filter` is a level, or comma-separated `target=level` pairs.
///
/// A call has no effect if the log has been started before, so every test may call it.
pub fn start(filter: &str, format: LogFormat) -> Result<(), FilterError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| FilterError { filter: filter.to_owned(), source })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    // This fails only if a subscriber is set already.
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_second_start_has_no_effect() {
        start("off,sqlx::postgres::notice=warn", LogFormat::Text).expect("a good filter");
        start("info", LogFormat::Json).expect("a second start has no effect");
        assert!(tracing::enabled!(target: "sqlx::postgres::notice", Level::WARN));
        assert!(!tracing::enabled!(target: "sqlx::postgres::notice", Level::INFO));
        assert!(!tracing::enabled!(Level::ERROR));
    }

    #[test]
    fn an_invalid_filter_is_refused() {
        let error = start("sealbus=loud", LogFormat::Text).expect_err("no level");
        assert_eq!(
            error.to_string(),
            "SEALBUS_LOG: \"sealbus=loud\" is not a level or comma-separated target=level pairs"
        );
    }
}
