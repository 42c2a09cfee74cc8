//! Sinks: what a subscription feeds. Each declares its options, checks them, and makes a handler.

mod flaky;
mod jsonl;
mod postgres;

use sealbus_consumer::Handler;
use sealbus_ledger::Ledger;
use serde::Deserialize;

pub use self::flaky::{Fails, FlakySpec};
pub use self::jsonl::JsonlSpec;
pub use self::postgres::{PostgresSpec, SinkError};

/// A sink as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkSpec {
    /// A row for each event in a Postgres table.
    Postgres(PostgresSpec),
    /// A line for each event in a file.
    Jsonl(JsonlSpec),
    /// Nothing, with failures by rule: for tests and the demonstration.
    Flaky(FlakySpec),
}

impl SinkSpec {
    /// Refuses options that cannot work, with the rule that they break.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Postgres(spec) => spec.check(),
            Self::Jsonl(spec) => spec.check(),
            Self::Flaky(spec) => spec.check(),
        }
    }

    /// What both of two sinks would write, in words.
    pub(crate) fn clash(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Postgres(one), Self::Postgres(other)) if one == other => Some(format!("table {}", one.table)),
            (Self::Jsonl(one), Self::Jsonl(other)) if one.path == other.path => {
                Some(format!("file {}", one.path.display()))
            }
            _ => None,
        }
    }

    /// What it writes to, in words, without any login.
    pub fn in_words(&self) -> String {
        match self {
            Self::Postgres(spec) if spec.url.is_some() => format!("table {} of another database", spec.table),
            Self::Postgres(spec) => format!("table {}", spec.table),
            Self::Jsonl(spec) => format!("file {}", spec.path.display()),
            Self::Flaky(_) => "nothing: a sink for trials".to_owned(),
        }
    }

    /// Makes ready what it writes to, and the handler that does.
    pub(crate) async fn handler(&self, ledger: &Ledger, schema: &str) -> Result<Handler, SinkError> {
        match self {
            Self::Postgres(spec) => postgres::handler(spec, ledger, schema).await,
            Self::Jsonl(spec) => Ok(jsonl::handler(spec)),
            Self::Flaky(spec) => Ok(flaky::handler(spec)),
        }
    }
}
