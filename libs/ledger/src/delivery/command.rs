//! An operator's command as a position stores it, until the consumer carries it out.

use sealbus_core::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::LedgerError;
use crate::pg::Column;

/// A command as it is stored in a position. It is carried out if `seq` is still the position's next event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum OperatorCommand {
    /// Try the event again, with all its attempts.
    Redrive {
        /// The next event when the command was given.
        seq: u64,
    },
    /// Pass over the event without its effect.
    Skip {
        /// The next event when the command was given.
        seq: u64,
    },
    /// End a fork in favour of the ledger's chain.
    Settle {
        /// The next event when the command was given.
        seq: u64,
        /// The event that counts. It is in the ledger.
        #[serde(rename = "stands")]
        event_hash: Hash,
    },
}

impl OperatorCommand {
    /// Returns the position's next event when the command was given.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Redrive { seq } | Self::Skip { seq } | Self::Settle { seq, .. } => *seq,
        }
    }

    /// Parses the command that is stored in the position of a plan.
    pub(super) fn stored(plan_no: i64, stored: Value) -> Result<Self, LedgerError> {
        let column = Column::new("positions", "ask").of_row(plan_no);
        serde_json::from_value(stored).map_err(|error| column.corrupt(format!("not an operator command: {error}")))
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a command consists of a word, a number and a hash")
    }
}
