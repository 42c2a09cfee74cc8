//! An operator's command as a position stores it, until the consumer carries it out.

use sealbus_core::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::LedgerError;
use crate::pg::Column;

/// The effect of an operator's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum OperatorAction {
    /// Try the event again, with all its attempts.
    Redrive,
    /// Pass over the event without its effect.
    Skip,
    /// End a fork by naming the event of the ledger that counts as the last one that was applied. The plan goes on after it.
    Settle {
        /// The seq of that event; 0 if none counts as applied.
        #[serde(rename = "stands_seq")]
        event_seq: u64,
        /// The hash of that event, or the genesis of the plan.
        #[serde(rename = "stands")]
        event_hash: Hash,
    },
}

/// A command as it is stored in a position. It is carried out if `seq` is still the position's next event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCommand {
    /// The position's next event when the command was given.
    pub seq: u64,
    /// What the command does.
    #[serde(flatten)]
    pub action: OperatorAction,
}

impl OperatorCommand {
    /// Parses the command that is stored in the position of a plan.
    pub(super) fn stored(plan_no: i64, stored: Value) -> Result<Self, LedgerError> {
        let column = Column::new("positions", "ask").of_row(plan_no);
        serde_json::from_value(stored).map_err(|error| column.corrupt(format!("not an operator command: {error}")))
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a command consists of a word, a number and a hash")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_are_stored_with_the_members_of_the_specification() {
        let commands = [
            (OperatorAction::Redrive, json!({"verb": "redrive", "seq": 7})),
            (OperatorAction::Skip, json!({"verb": "skip", "seq": 7})),
            (
                OperatorAction::Settle { event_seq: 5, event_hash: Hash([1; 32]) },
                json!({"verb": "settle", "seq": 7, "stands_seq": 5, "stands": "01".repeat(32)}),
            ),
        ];
        for (action, stored) in commands {
            let command = OperatorCommand { seq: 7, action };
            assert_eq!(command.to_json(), stored);
            assert_eq!(OperatorCommand::stored(1, stored).unwrap(), command);
        }
    }

    #[test]
    fn an_unknown_command_names_its_column_and_plan() {
        let error = OperatorCommand::stored(42, json!({"verb": "replace", "seq": 7})).unwrap_err().to_string();
        assert!(error.starts_with("positions.ask of row 42 is invalid: not an operator command: "), "{error}");
    }
}
