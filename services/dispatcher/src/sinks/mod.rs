//! Sinks: the targets of subscriptions. Each sink declares its options, checks them, and creates a handler.

mod flaky;
mod jsonl;
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use sealbus_consumer::Handler;
use sealbus_ledger::Ledger;
use sealbus_ledger::delivery::effects::EffectLimits;
use serde::Deserialize;

use self::flaky::Flaky;
pub use self::flaky::{Fails, FlakySpec};
pub use self::jsonl::JsonlSpec;
pub use self::postgres::{PostgresSpec, SinkError};

/// A sink as it is declared in a subscriptions file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkSpec {
    /// A Postgres table with a row for each event.
    Postgres(PostgresSpec),
    /// A file of JSON lines with a line for each event.
    Jsonl(JsonlSpec),
    /// No target, and failures by rule, for tests and demonstrations.
    Flaky(FlakySpec),
}

impl SinkSpec {
    /// Checks the options. The error is the rule that they break.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Postgres(spec) => spec.check(),
            Self::Jsonl(spec) => spec.check(),
            Self::Flaky(spec) => spec.check(),
        }
    }

    /// Describes the table or file that both of two sinks would write to, if there is one.
    pub(crate) fn common_target(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Postgres(one), Self::Postgres(other)) if one == other => Some(format!("table {}", one.table)),
            (Self::Jsonl(one), Self::Jsonl(other)) if one.path == other.path => {
                Some(format!("file {}", one.path.display()))
            }
            _ => None,
        }
    }

    /// Describes what the sink writes to, without any credentials.
    pub fn describe(&self) -> String {
        match self {
            Self::Postgres(spec) if spec.url.is_some() => format!("table {} of another database", spec.table),
            Self::Postgres(spec) => format!("table {}", spec.table),
            Self::Jsonl(spec) => format!("file {}", spec.path.display()),
            Self::Flaky(_) => "nothing (a flaky sink)".to_owned(),
        }
    }

    /// Prepares what the sink writes to, and returns its handler, a call of which may take `limit`.
    pub(crate) async fn handler(&self, ledger: &Ledger, schema: &str, limit: Duration) -> Result<Handler, SinkError> {
        match self {
            Self::Postgres(spec) => postgres::handler(spec, ledger, schema, EffectLimits::of_call(limit)).await,
            Self::Jsonl(spec) => Ok(Handler::External(Arc::new(spec.clone()))),
            Self::Flaky(spec) => Ok(Handler::External(Arc::new(Flaky::new(spec.clone())))),
        }
    }
}
