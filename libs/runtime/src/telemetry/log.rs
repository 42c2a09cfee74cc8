//! The log: one subscriber for the process, which writes to stderr, so that stdout has only the output of a command.

use std::io::IsTerminal;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::LogFormat;

/// A layer in addition to the log. Its own filter decides what it receives, independently of `SEALBUS_LOG`.
///
/// It should have a filter (`layer.with_filter(Targets::new()…)`): without one, all events and spans of all crates are built.
pub type ExtraLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Levels for crates whose `info` and `debug` messages do not concern operators. A filter that names such a crate overrides them.
const QUIET: &str = "sqlx=warn,async_nats=warn,hyper=warn,h2=warn,reqwest=warn,rustls=warn,tower_http=warn";

/// The filter of the log is not valid.
#[derive(Debug, thiserror::Error)]
#[error("SEALBUS_LOG: \"{filter}\" is not a level or comma-separated target=level pairs")]
pub struct FilterError {
    /// The filter.
    pub filter: String,
    /// The error in it.
    pub source: ParseError,
}

/// Starts the log of this process. `filter` is a level, or comma-separated `target=level` pairs.
///
/// A call has no effect if the log has been started before, so every test may call it.
pub fn start(filter: &str, format: LogFormat, mut layers: Vec<ExtraLayer>) -> Result<(), FilterError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| FilterError { filter: filter.to_owned(), source })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    layers.push(match format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
    });
    // This fails only if a subscriber is set already.
    let _ = Registry::default().with(layers).try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::Context;

    use super::*;

    struct Count(Arc<AtomicUsize>);

    impl Layer<Registry> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, Registry>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_second_start_has_no_effect_and_an_extra_layer_ignores_the_filter() {
        let seen = Arc::new(AtomicUsize::new(0));
        let only_notices = Targets::new().with_target("sqlx::postgres::notice", LevelFilter::WARN);
        let layer = Count(Arc::clone(&seen)).with_filter(only_notices).boxed();
        start("off", LogFormat::Text, vec![layer]).expect("a good filter");
        start("info", LogFormat::Json, vec![]).expect("a second start has no effect");

        tracing::warn!(target: "sqlx::postgres::notice", "canceling wait for synchronous replication");
        tracing::debug!(target: "sqlx::postgres::notice", "filtered out");
        tracing::error!("filtered out by the layer");
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_invalid_filter_is_refused() {
        let error = start("sealbus=loud", LogFormat::Text, vec![]).expect_err("no level");
        assert_eq!(
            error.to_string(),
            "SEALBUS_LOG: \"sealbus=loud\" is not a level or comma-separated target=level pairs"
        );
    }
}
