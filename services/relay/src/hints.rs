//! Hints of a partition: taken while there is room for them, checked, and handed to its worker.

use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::Keyring;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::{HintFate, Metrics};

/// Hints that may wait for the worker.
const ROOM: usize = 256;

/// A hinted event whose seal holds.
#[derive(Debug)]
pub(crate) struct Hinted {
    /// The outbox row, as the hint says.
    pub id: i64,
    /// The event.
    pub record: Arc<Record>,
}

/// What a hint must be of.
pub(crate) struct Expected {
    /// The ledger's origin.
    pub origin: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The one that is listened to.
    pub partition: u32,
    /// Who may have sealed it.
    pub keyring: Arc<Keyring>,
}

impl Expected {
    /// Whether the event may be sent on the hint's word: a seal of a trusted key, and the texts that it covers.
    fn covers(&self, record: &Record) -> Result<(), String> {
        let header = &record.header;
        if header.origin != self.origin
            || PlanKey::of(&header.tenant, &header.plan).partition(self.partitions) != self.partition
        {
            return Err("it is of another ledger or partition".to_owned());
        }
        let payload = record.payload.as_deref().map(|payload| Hash::of(payload.as_bytes()));
        let sealed = (header.payload_mode != PayloadMode::HashOnly).then_some(header.payload_hash);
        if payload != sealed || Hash::of(record.metadata.as_bytes()) != header.metadata_hash {
            return Err("its payload or metadata is not what was sealed".to_owned());
        }
        let checked = self.keyring.check(header, &record.event_hash, &record.mac, &record.sig);
        checked.map(drop).map_err(|verdict| verdict.as_str().to_owned())
    }
}

/// The running intake of a partition.
pub(crate) struct HintIntake {
    hinted: mpsc::Receiver<Hinted>,
    missed: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl HintIntake {
    /// Begins to listen.
    pub(crate) fn start(broker: Broker, expected: Expected, metrics: Metrics) -> Self {
        let (taken, hinted) = mpsc::channel(ROOM);
        let missed = Arc::new(Notify::new());
        let task = tokio::spawn(listen(broker, expected, metrics, taken, Arc::clone(&missed)));
        Self { hinted, missed, _task: AbortOnDropHandle::new(task) }
    }

    /// The next hint. Safe to drop and ask again.
    pub(crate) async fn next(&mut self) -> Hinted {
        match self.hinted.recv().await {
            Some(hinted) => hinted,
            // Without hints the sweep does it all, later.
            None => std::future::pending().await,
        }
    }

    /// The next hint, if it is there already.
    pub(crate) fn ready(&mut self) -> Option<Hinted> {
        self.hinted.try_recv().ok()
    }

    /// Notified when hints were dropped for want of room: a sweep is to look for their events.
    pub(crate) fn missed(&self) -> Arc<Notify> {
        Arc::clone(&self.missed)
    }
}

async fn listen(
    broker: Broker,
    expected: Expected,
    metrics: Metrics,
    taken: mpsc::Sender<Hinted>,
    missed: Arc<Notify>,
) {
    let mut hints = match broker.hints(expected.partition).await {
        Ok(hints) => hints,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "hints cannot be listened to; events wait for the sweep"
            );
            return;
        }
    };
    while let Some(hint) = hints.next().await {
        // Checking a seal costs more than reading many rows: a worker that is behind is better served by its sweep.
        let Ok(place) = taken.try_reserve() else {
            metrics.hint(HintFate::Dropped);
            missed.notify_one();
            continue;
        };
        let read = hint.read().map_err(|error| error.to_string());
        match read.and_then(|(id, record)| expected.covers(&record).map(|()| Hinted { id, record: Arc::new(record) })) {
            Ok(hinted) => {
                metrics.hint(HintFate::Taken);
                place.send(hinted);
            }
            Err(reason) => {
                metrics.hint(HintFate::Refused);
                tracing::warn!(
                    partition = expected.partition,
                    reason,
                    "a hint was refused: something else than a publisher writes hints"
                );
            }
        }
    }
}
