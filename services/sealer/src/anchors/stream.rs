//! An anchor on JetStream: a stream that denies deletion and purging.

use async_trait::async_trait;
use sealbus_broker::Broker;
use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;

use super::{Anchor, AnchorError};

/// Notes that are looked at to find the newest: two sealers may have put theirs in another order.
const LAST: u64 = 32;

/// `SEALBUS_CHECKPOINTS`.
pub struct AnchorStream {
    broker: Broker,
}

impl AnchorStream {
    /// The stream of this broker.
    pub fn new(broker: Broker) -> Self {
        Self { broker }
    }
}

#[async_trait]
impl Anchor for AnchorStream {
    fn name(&self) -> String {
        format!("stream {}", sealbus_broker::topology::CHECKPOINTS)
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let text = note.to_string();
        let id = Hash::of(text.as_bytes()).to_string();
        self.broker.anchor_checkpoint(text, &id).await.map(drop).map_err(|error| AnchorError(error.to_string()))
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        let count = if all { u64::MAX } else { LAST };
        self.broker.anchored_checkpoints(count).await.map_err(|error| AnchorError(error.to_string()))
    }
}
