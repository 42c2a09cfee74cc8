//! Beacons: what the broker held at a moment, for finding a stream that was rolled back (PROTOCOL, Repair).

use sealbus_core::timestamp::Timestamp;

use crate::history::trail::signed;
use crate::{Ledger, LedgerError};

/// A message that the stream acknowledged at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// When the stream was created: one of the same name made anew is another stream.
    pub created: Timestamp,
    /// The place of the message in the stream.
    pub stream_seq: u64,
    /// Its `Nats-Msg-Id`.
    pub msg_id: &'a str,
    /// The lowest outbox row that the relay had not seen acknowledged; none where all were.
    pub oldest_pending: Option<i64>,
}

impl Ledger {
    /// Keeps a beacon; one that is there already stays as it is.
    pub async fn record_beacon(&self, beacon: &Beacon<'_>) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- record_beacon
            INSERT INTO sealbus.beacons (stream, created, stream_seq, msg_id, oldest_pending) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING",
            beacon.stream,
            beacon.created.to_offset(),
            signed(beacon.stream_seq),
            beacon.msg_id,
            beacon.oldest_pending,
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
