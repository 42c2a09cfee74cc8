//! A message of the broker that waits in memory.

use std::sync::Arc;
use std::time::Instant;

use sealbus_core::event::Record;
use sealbus_ledger::delivery::positions::{Position, PositionState};

/// The bytes that a message takes in memory in addition to its payload and metadata, approximately.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// A message in memory, with the event that it brought.
pub(crate) struct QueuedMessage<M> {
    pub message: M,
    pub record: Arc<Record>,
    /// How often the broker delivered it, this time included.
    pub deliveries: u64,
    /// When it was received.
    pub received: Instant,
}

impl<M> QueuedMessage<M> {
    /// A message that was received now.
    pub(crate) fn new(record: Arc<Record>, deliveries: u64, message: M) -> Self {
        Self { message, record, deliveries, received: Instant::now() }
    }

    pub(crate) fn bytes(&self) -> usize {
        MESSAGE_OVERHEAD_BYTES + self.record.payload.as_ref().map_or(0, String::len) + self.record.metadata.len()
    }

    pub(crate) fn seq(&self) -> u64 {
        self.record.header.seq
    }

    /// Returns whether the message may be acknowledged at a position: its event is applied, or noted as seen by a
    /// position that is not live.
    pub(crate) fn is_covered_by(&self, position: &Position) -> bool {
        self.seq() < position.next_seq || self.is_seen_by(position)
    }

    /// Returns whether the event is noted as seen, and not yet applied, by a position that is not live.
    pub(crate) fn is_seen_by(&self, position: &Position) -> bool {
        position.state != PositionState::Live && (position.next_seq..=position.seen_seq).contains(&self.seq())
    }
}
