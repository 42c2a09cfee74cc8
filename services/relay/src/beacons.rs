//! Beacons: records of what the stream held at a moment, by which a stream that was rolled back is found
//! (`docs/spec/protocol.md#repair-beacons`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_broker::topology::EVENTS;
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_ledger::Ledger;
use sealbus_ledger::outbox::Beacon;

use crate::outbox_watch::ticks;

/// The newest acknowledgement that any worker received since the last beacon, if there was one.
#[derive(Debug, Default)]
pub(crate) struct LatestBeacon(Mutex<Option<Acknowledgement>>);

#[derive(Clone, Copy, Debug)]
struct Acknowledgement {
    stream_seq: u64,
    event_hash: Hash,
    oldest_pending: Option<i64>,
}

impl LatestBeacon {
    /// Records an acknowledgement. `oldest_pending` returns the lowest outbox row that is not known to be acknowledged; it is
    /// called for the first acknowledgement after a beacon only.
    pub(crate) fn record(&self, stream_seq: u64, event_hash: Hash, oldest_pending: impl FnOnce() -> Option<i64>) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *latest {
            Some(latest) if latest.stream_seq >= stream_seq => {}
            Some(latest) => (latest.stream_seq, latest.event_hash) = (stream_seq, event_hash),
            None => *latest = Some(Acknowledgement { stream_seq, event_hash, oldest_pending: oldest_pending() }),
        }
    }
}

/// Stores a beacon in the ledger at each interval in which a message was acknowledged, and deletes those that are older than
/// `retention`. Never returns.
pub(crate) async fn record(
    ledger: Ledger,
    broker: Broker,
    latest: &LatestBeacon,
    every: Duration,
    retention: Duration,
) {
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        let Some(latest) = latest.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { continue };
        // If the broker is unreachable, or the stream was created again since, the next acknowledgements bring a beacon.
        let Ok(state) = broker.events_state().await else { continue };
        if state.last_seq < latest.stream_seq {
            continue;
        }
        let msg_id = latest.event_hash.to_string();
        let beacon = Beacon {
            stream: EVENTS,
            created: state.created,
            stream_seq: latest.stream_seq,
            msg_id: &msg_id,
            oldest_pending: latest.oldest_pending,
        };
        if let Err(error) = ledger.outbox().record_beacon(&beacon, retention).await {
            tracing::warn!(error = %error_chain(&error), "a beacon cannot be recorded");
        }
    }
}
