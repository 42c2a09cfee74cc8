//! Checkpoints of the log, kept on a stream that denies deletion: an anchor that the database cannot change.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use futures::{StreamExt, TryStreamExt, stream};

use crate::topology::CHECKPOINTS;
use crate::{Broker, BrokerError, EventMessage, PublishError};

const SUBJECT: &str = "checkpoints.log";
/// The number of messages that are requested concurrently.
const CONCURRENT_READS: usize = 64;

impl Broker {
    /// Stores the note of a checkpoint on `SEALBUS_CHECKPOINTS`, and waits for the acknowledgement. Within the
    /// duplicate window of the stream, a note with the same `message_id` is stored once.
    pub async fn anchor_checkpoint(&self, note: String, message_id: &str) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message_id);
        let message = EventMessage { subject: SUBJECT.to_owned(), headers, body: note.into() };
        self.publish(message).await?.acknowledged().await.map(drop)
    }

    /// Reads the newest `count` notes of the stream, oldest first, or all of them if `count` is `u64::MAX`. They are
    /// not verified: anyone who may publish to the stream can have put them there.
    pub async fn anchored_checkpoints(&self, count: u64) -> Result<Vec<Vec<u8>>, BrokerError> {
        let checkpoints = self.stream(CHECKPOINTS).await?;
        let state = &checkpoints.cached_info().state;
        if state.messages == 0 {
            return Ok(Vec::new());
        }
        let first = state.first_sequence.max((state.last_sequence + 1).saturating_sub(count));
        stream::iter(first..=state.last_sequence)
            .map(|seq| checkpoints.get_raw_message(seq))
            .buffered(CONCURRENT_READS)
            .map_ok(|message| message.payload.to_vec())
            .try_collect()
            .await
            .map_err(|error| BrokerError::Unanswered { request: format!("stream {CHECKPOINTS}"), cause: error.into() })
    }
}
