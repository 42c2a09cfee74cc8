//! Checkpoints of the log on a stream that lets nobody take a message out: an anchor out of the database's reach.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use futures::{StreamExt, TryStreamExt, stream};

use crate::publish::{Ack, publish_error};
use crate::topology::{CHECKPOINTS, stream_error};
use crate::{Broker, BrokerError, PublishError};

const SUBJECT: &str = "checkpoints.log";
/// Messages that are asked for at once.
const AT_ONCE: usize = 64;

impl Broker {
    /// Puts a checkpoint's note on `SEALBUS_CHECKPOINTS`, and waits for the acknowledgement. `id` is one that no other note has.
    pub async fn anchor_checkpoint(&self, note: String, id: &str) -> Result<Ack, PublishError> {
        self.check_connected()?;
        let message = PublishMessage::build().payload(note.into()).header(NATS_MESSAGE_ID, id);
        let sent = self.jetstream.send_publish(SUBJECT, message).await.map_err(|error| publish_error(&error))?;
        let ack = sent.await.map_err(|error| publish_error(&error))?;
        Ok(Ack { stream_seq: ack.sequence, duplicate: ack.duplicate })
    }

    /// The newest `count` notes on the stream, oldest first; all of them with `u64::MAX`. They are as they stand there, and
    /// who reads them checks them.
    pub async fn anchored_checkpoints(&self, count: u64) -> Result<Vec<Vec<u8>>, BrokerError> {
        let mut checkpoints =
            self.jetstream.get_stream(CHECKPOINTS).await.map_err(|error| stream_error(CHECKPOINTS, error))?;
        let unanswered =
            |cause: crate::error::Cause| BrokerError::Unanswered { what: format!("stream {CHECKPOINTS}"), cause };
        let state = checkpoints.info().await.map_err(|error| unanswered(error.into()))?.state.clone();
        if state.messages == 0 {
            return Ok(Vec::new());
        }
        let first = state.first_sequence.max((state.last_sequence + 1).saturating_sub(count));
        stream::iter(first..=state.last_sequence)
            .map(|seq| checkpoints.get_raw_message(seq))
            .buffered(AT_ONCE)
            .map_ok(|message| message.payload.to_vec())
            .try_collect()
            .await
            .map_err(|error| unanswered(error.into()))
    }
}
