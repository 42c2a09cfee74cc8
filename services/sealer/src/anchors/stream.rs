//! An anchor on JetStream: a stream that denies deletion and purging.

use async_trait::async_trait;
use sealbus_broker::Broker;
use sealbus_broker::topology::CHECKPOINTS;
use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;

use super::{Anchor, AnchorError};

/// The number of recent notes in which the newest is searched. Several sealers may have stored theirs in another order.
const RECENT_NOTES: u64 = 32;

/// The stream `SEALBUS_CHECKPOINTS`.
pub struct AnchorStream {
    broker: Broker,
}

impl AnchorStream {
    /// Returns the anchor on a broker.
    pub fn new(broker: Broker) -> Self {
        Self { broker }
    }
}

#[async_trait]
impl Anchor for AnchorStream {
    fn name(&self) -> String {
        format!("stream {CHECKPOINTS}")
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let text = note.to_string();
        let message_id = Hash::of(text.as_bytes()).to_string();
        self.broker.anchor_checkpoint(text, &message_id).await?;
        Ok(())
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        Ok(self.broker.anchored_checkpoints(if all { u64::MAX } else { RECENT_NOTES }).await?)
    }
}
