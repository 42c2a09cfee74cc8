//! The log: one subscriber for the process, on stderr, so that a command's stdout is its answer.

use std::io::IsTerminal;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::LogFormat;

/// A layer beside the log that sees what its own filter lets through, whatever `SEALBUS_LOG` says.
///
/// Give it a filter of its own (`layer.with_filter(Targets::new()…)`): one without makes every event and span of every
/// crate of the process be built.
pub type ExtraLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Crates that say at `info` or `debug` what no operator of Sealbus asked for. A filter that names one of them wins.
const QUIET: &str = "sqlx=warn,async_nats=warn,hyper=warn,h2=warn,reqwest=warn,rustls=warn,tower_http=warn";

/// The filter of the log is none.
#[derive(Debug, thiserror::Error)]
#[error("SEALBUS_LOG: \"{filter}\" is not a level, or target=level between commas")]
pub struct FilterError {
    /// What was given.
    pub filter: String,
    /// What is wrong with it.
    pub source: ParseError,
}

/// Starts the log of this process. `filter` is a level, or `target=level` between commas.
///
/// A second call changes nothing, and neither does one in a process whose log somebody else has started: so tests may
/// all call it.
pub fn start(filter: &str, format: LogFormat, mut layers: Vec<ExtraLayer>) -> Result<(), FilterError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| FilterError { filter: filter.to_owned(), source })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    layers.push(match format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
    });
    // It fails only where a subscriber has been set already.
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
    fn starts_once_and_an_extra_layer_sees_what_the_filter_hides() {
        let seen = Arc::new(AtomicUsize::new(0));
        let only_notices = Targets::new().with_target("sqlx::postgres::notice", LevelFilter::WARN);
        let layer = Count(Arc::clone(&seen)).with_filter(only_notices).boxed();
        start("off", LogFormat::Text, vec![layer]).expect("a good filter");
        start("info", LogFormat::Json, vec![]).expect("and again, without an effect");

        tracing::warn!(target: "sqlx::postgres::notice", "canceling wait for synchronous replication");
        tracing::debug!(target: "sqlx::postgres::notice", "of no concern");
        tracing::error!("of no concern to the layer");
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = start("sealbus=loud", LogFormat::Text, vec![]).expect_err("no level");
        assert_eq!(error.to_string(), "SEALBUS_LOG: \"sealbus=loud\" is not a level, or target=level between commas");
    }
}
