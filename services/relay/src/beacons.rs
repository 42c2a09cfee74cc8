//! Beacons: after runs of acknowledgements, what the stream holds is written down beside the ledger, so that a stream that
//! was rolled back can be found out (PROTOCOL, Repair).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_broker::topology::EVENTS;
use sealbus_core::hash::Hash;
use sealbus_ledger::Ledger;
use sealbus_ledger::outbox::Beacon;
use tokio::time::{MissedTickBehavior, interval};

/// The newest acknowledgement that any worker has seen since the last beacon.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Option<Noted>>);

#[derive(Clone, Copy, Debug)]
struct Noted {
    stream_seq: u64,
    event_hash: Hash,
    oldest_pending: Option<i64>,
}

impl Board {
    /// Notes an acknowledgement; `oldest_pending` is asked for where it is the first since the last beacon.
    pub(crate) fn note(&self, stream_seq: u64, event_hash: Hash, oldest_pending: impl FnOnce() -> Option<i64>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *noted {
            Some(noted) if noted.stream_seq >= stream_seq => {}
            Some(noted) => (noted.stream_seq, noted.event_hash) = (stream_seq, event_hash),
            None => *noted = Some(Noted { stream_seq, event_hash, oldest_pending: oldest_pending() }),
        }
    }

    fn take(&self) -> Option<Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Records a beacon each time, if there was news. Ends with the task that it runs in.
pub(crate) async fn record(ledger: Ledger, broker: Broker, board: &Board, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(noted) = board.take() else { continue };
        // Away, or made anew since: the next run of acknowledgements brings the next beacon.
        let Ok(state) = broker.events_state().await else { continue };
        if state.last_seq < noted.stream_seq {
            continue;
        }
        let msg_id = noted.event_hash.to_string();
        let beacon = Beacon {
            stream: EVENTS,
            created: state.created,
            stream_seq: noted.stream_seq,
            msg_id: &msg_id,
            oldest_pending: noted.oldest_pending,
        };
        if let Err(error) = ledger.outbox().record_beacon(&beacon).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a beacon could not be recorded");
        }
    }
}
