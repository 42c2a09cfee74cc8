//! Receives the hints of a partition, checks them, and passes them to the partition's worker
//! (`docs/spec/protocol.md#relay-3`). Hints that arrive while the worker has no capacity are dropped.

use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::Resources;
use crate::metrics::HintFate;

/// The number of checked hints that may wait for the worker.
const CHANNEL_CAPACITY: usize = 256;

/// A hinted event whose seal is valid.
#[derive(Debug)]
pub(crate) struct HintedEvent {
    /// The id of the event's outbox row, as the hint states it.
    pub outbox_id: i64,
    pub record: Arc<Record>,
}

/// The task that receives and checks the hints of a partition. It ends when this is dropped.
pub(crate) struct HintIntake {
    /// The channel of the checked events. It is closed if the task could not subscribe.
    pub events: mpsc::Receiver<HintedEvent>,
    /// Notified when a hint is dropped. The worker should then start an outbox scan at once.
    pub dropped: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl HintIntake {
    /// Starts the task.
    pub(crate) fn start(resources: Resources, partition: u32) -> Self {
        let (sender, events) = mpsc::channel(CHANNEL_CAPACITY);
        let dropped = Arc::new(Notify::new());
        let task = tokio::spawn(receive(resources, partition, sender, Arc::clone(&dropped)));
        Self { events, dropped, _task: AbortOnDropHandle::new(task) }
    }
}

async fn receive(resources: Resources, partition: u32, sender: mpsc::Sender<HintedEvent>, dropped: Arc<Notify>) {
    let mut hints = match resources.broker.hints(partition).await {
        Ok(hints) => hints,
        Err(error) => {
            let error = error_chain(&error);
            tracing::error!(partition, error, "cannot subscribe to hints; events wait for the outbox scan");
            return;
        }
    };
    while let Some(hint) = hints.next().await {
        // Checking a seal is more expensive than reading many rows, so a worker without capacity catches up faster by
        // an outbox scan.
        let Ok(slot) = sender.try_reserve() else {
            resources.metrics.hint(HintFate::Dropped);
            dropped.notify_one();
            continue;
        };
        let read = hint.read().map_err(|error| error_chain(&error));
        match read.and_then(|(id, record)| check(&resources, partition, &record).map(|()| (id, record))) {
            Ok((outbox_id, record)) => {
                resources.metrics.hint(HintFate::Taken);
                slot.send(HintedEvent { outbox_id, record: Arc::new(record) });
            }
            Err(reason) => {
                resources.metrics.hint(HintFate::Refused);
                tracing::warn!(partition, reason, "refused a hint that no publisher of this ledger can have sent");
            }
        }
    }
}

/// Checks that an event may be sent without reading it from the ledger: its origin and partition are the expected ones,
/// its seal is by a trusted key, and its payload and metadata are those that were sealed. The error is the reason why the
/// event may not be sent.
fn check(Resources { ledger, keyring, .. }: &Resources, partition: u32, record: &Record) -> Result<(), String> {
    let (header, deployment) = (&record.header, ledger.deployment());
    if header.origin != deployment.origin
        || PlanKey::of(&header.tenant, &header.plan).partition(deployment.partitions) != partition
    {
        return Err("the event belongs to another ledger or partition".to_owned());
    }
    let payload = record.payload.as_deref().map(|payload| Hash::of(payload.as_bytes()));
    let sealed = (header.payload_mode != PayloadMode::HashOnly).then_some(header.payload_hash);
    if payload != sealed || Hash::of(record.metadata.as_bytes()) != header.metadata_hash {
        return Err("the event's payload or metadata does not match its seal".to_owned());
    }
    let checked = keyring.check(header, &record.event_hash, &record.mac, &record.sig);
    checked.map(drop).map_err(|verdict| verdict.as_str().to_owned())
}
