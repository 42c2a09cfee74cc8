//! The one task that looks at the shown checkpoint, for all callers who wait for it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::log::EventPlace;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Bytes that one permit stands for.
const UNIT: usize = 1_024;
/// Events that are asked for at a time.
const CHUNK: usize = 10_000;

/// Who waits for which events to be sealed.
pub struct SealWatch {
    ledger: Ledger,
    waiting: Mutex<Vec<Waiting>>,
    /// Somebody waits who was not there before.
    came: Notify,
    room: Arc<Semaphore>,
}

/// A caller who waits.
struct Waiting {
    /// The events that it waits for.
    places: Vec<EventPlace>,
    /// The size of the shown checkpoint against which they were looked up last.
    looked: Option<u64>,
    sealed: oneshot::Sender<()>,
}

impl SealWatch {
    /// Nobody waits yet. What waits may hold `room` bytes together.
    pub fn new(ledger: Ledger, room: usize) -> Self {
        let room = Arc::new(Semaphore::new((room / UNIT).max(1)));
        Self { ledger, waiting: Mutex::default(), came: Notify::new(), room }
    }

    /// Room for a caller who holds so many bytes while it waits; none where there is too little.
    pub fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(units).ok()
    }

    /// Returns once the shown checkpoint covers all of these events. Whoever no longer waits is forgotten.
    pub async fn sealed(&self, places: Vec<EventPlace>) {
        let (sealed, told) = oneshot::channel();
        self.waiting().push(Waiting { places, looked: None, sealed });
        self.came.notify_one();
        // The other end is dropped with the watch itself, when the publisher ends.
        let _ = told.await;
    }

    /// Looks at each tick whether a new checkpoint is shown, and whose events it covers; rests while nobody waits.
    pub async fn run(&self, tick: Duration, shutdown: CancellationToken) {
        let mut away = false;
        while shutdown.run_until_cancelled(self.somebody()).await.is_some() {
            match self.look().await {
                Ok(()) => away = false,
                Err(error) if away => tracing::debug!(error = error_chain(&error), "sealed events still go unnoticed"),
                Err(error) => {
                    away = true;
                    tracing::warn!(
                        error = error_chain(&error),
                        "the shown checkpoint could not be read; callers wait on"
                    );
                }
            }
            shutdown.run_until_cancelled(tokio::time::sleep(tick)).await;
        }
        self.waiting().clear();
    }

    async fn somebody(&self) {
        while self.waiting().is_empty() {
            self.came.notified().await;
        }
    }

    async fn look(&self) -> Result<(), LedgerError> {
        let shown = self.ledger.log().shown_checkpoint().await?.map_or(0, |(size, _)| size);
        // Callers keep their order: those who come meanwhile stand behind.
        let (places, asked) = {
            let mut waiting = self.waiting();
            waiting.retain(|waiting| !waiting.sealed.is_closed());
            let unlooked = waiting.iter_mut().filter(|waiting| waiting.looked != Some(shown));
            let mut places = Vec::new();
            for waiting in unlooked {
                waiting.looked = Some(shown);
                places.extend(waiting.places.iter().cloned());
            }
            (places, waiting.len())
        };
        if places.is_empty() {
            return Ok(());
        }
        let mut sealed = std::collections::HashSet::with_capacity(places.len());
        for chunk in places.chunks(CHUNK) {
            let indexes = match self.ledger.log().leaf_indexes(chunk).await {
                Ok(indexes) => indexes,
                Err(error) => {
                    self.waiting().iter_mut().take(asked).for_each(|waiting| waiting.looked = None);
                    return Err(error);
                }
            };
            let covered = chunk.iter().zip(indexes).filter(|(_, index)| index.is_some_and(|index| index < shown));
            sealed.extend(covered.map(|(place, _)| place));
        }
        self.waiting().extract_if(.., |waiting| waiting.places.iter().all(|place| sealed.contains(place))).for_each(
            |waiting| {
                // Who has gone need not be told.
                let _ = waiting.sealed.send(());
            },
        );
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().expect("no holder of the list panics: it only looks and moves")
    }
}
