//! Receives the hints of a partition, checks them, and passes them to the partition's worker
//! (`docs/spec/protocol.md#relay-3`). Hints that arrive while the worker has no capacity are dropped.

use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_core::error_chain;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::Keyring;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::{HintFate, Metrics};

/// The number of checked hints that may wait for the worker.
const CHANNEL_CAPACITY: usize = 256;

/// A hinted event whose seal is valid.
#[derive(Debug)]
pub(crate) struct HintedEvent {
    /// The id of the event's outbox row, as the hint states it.
    pub outbox_id: i64,
    /// The event.
    pub record: Arc<Record>,
}

/// The conditions that an event in a hint must meet.
pub(crate) struct ExpectedEvents {
    /// The ledger's origin.
    pub origin: String,
    /// The number of partitions of the ledger.
    pub partitions: u32,
    /// The partition.
    pub partition: u32,
    /// The keys whose seals are trusted.
    pub keyring: Arc<Keyring>,
}

impl ExpectedEvents {
    /// Checks that an event may be sent without reading it from the ledger: its origin and partition are the expected ones,
    /// its seal is by a trusted key, and its payload and metadata are those that were sealed. The error is the reason why the
    /// event may not be sent.
    fn check(&self, record: &Record) -> Result<(), String> {
        let header = &record.header;
        if header.origin != self.origin
            || PlanKey::of(&header.tenant, &header.plan).partition(self.partitions) != self.partition
        {
            return Err("the event belongs to another ledger or partition".to_owned());
        }
        let payload = record.payload.as_deref().map(|payload| Hash::of(payload.as_bytes()));
        let sealed = (header.payload_mode != PayloadMode::HashOnly).then_some(header.payload_hash);
        if payload != sealed || Hash::of(record.metadata.as_bytes()) != header.metadata_hash {
            return Err("the event's payload or metadata does not match its seal".to_owned());
        }
        let checked = self.keyring.check(header, &record.event_hash, &record.mac, &record.sig);
        checked.map(drop).map_err(|verdict| verdict.as_str().to_owned())
    }
}

/// The task that receives and checks the hints of a partition.
pub(crate) struct HintIntake {
    hints: mpsc::Receiver<HintedEvent>,
    dropped: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl HintIntake {
    /// Starts the task. The task ends when the returned `HintIntake` is dropped.
    pub(crate) fn start(broker: Broker, expected: ExpectedEvents, metrics: Metrics) -> Self {
        let (sender, hints) = mpsc::channel(CHANNEL_CAPACITY);
        let dropped = Arc::new(Notify::new());
        let task = tokio::spawn(receive(broker, expected, metrics, sender, Arc::clone(&dropped)));
        Self { hints, dropped, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits for the next hint. This method is cancel safe.
    pub(crate) async fn next(&mut self) -> HintedEvent {
        match self.hints.recv().await {
            Some(hint) => hint,
            // The task could not subscribe, or ended. The outbox scan finds the events.
            None => std::future::pending().await,
        }
    }

    /// Returns the next hint if one has already been checked, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<HintedEvent> {
        self.hints.try_recv().ok()
    }

    /// Returns the notification that is sent when a hint is dropped. The worker should then start an
    /// outbox scan at once.
    pub(crate) fn dropped(&self) -> Arc<Notify> {
        Arc::clone(&self.dropped)
    }
}

async fn receive(
    broker: Broker,
    expected: ExpectedEvents,
    metrics: Metrics,
    sender: mpsc::Sender<HintedEvent>,
    dropped: Arc<Notify>,
) {
    let mut hints = match broker.hints(expected.partition).await {
        Ok(hints) => hints,
        Err(error) => {
            tracing::error!(
                partition = expected.partition,
                error = %error_chain(&error),
                "cannot subscribe to hints; events wait for the sweep of the outbox"
            );
            return;
        }
    };
    while let Some(hint) = hints.next().await {
        // Checking a seal is more expensive than reading many rows, so a worker without capacity catches up faster by
        // an outbox scan.
        let Ok(slot) = sender.try_reserve() else {
            metrics.hint(HintFate::Dropped);
            dropped.notify_one();
            continue;
        };
        let read = hint.read().map_err(|error| error_chain(&error));
        let checked = read.and_then(|(outbox_id, record)| {
            expected.check(&record).map(|()| HintedEvent { outbox_id, record: Arc::new(record) })
        });
        match checked {
            Ok(hint) => {
                metrics.hint(HintFate::Taken);
                slot.send(hint);
            }
            Err(reason) => {
                metrics.hint(HintFate::Refused);
                tracing::warn!(
                    partition = expected.partition,
                    reason,
                    "refused a hint that no publisher of this ledger can have sent"
                );
            }
        }
    }
}
