//! The copy of a dead letter, for people to see on the broker. The position is the truth; a copy that cannot be made now is
//! not made.

use sealbus_broker::DeadLetter;
use sealbus_core::event::Record;
use tracing::warn;

use crate::assignment::Share;

impl Share {
    pub(crate) async fn copy_dead_letter(&self, record: &Record, error: &str, attempts: u32) {
        let letter = DeadLetter { subscription: &self.worked.spec.name, record, error, attempts };
        if let Err(refused) = self.worked.process.broker.copy_dead_letter(letter).await {
            let plan = &record.header.plan;
            warn!(subscription = %self.worked.name, plan, seq = record.header.seq, %refused, "a dead letter was not copied to the broker");
        }
    }
}
