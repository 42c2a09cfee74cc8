//! The task that polls the published checkpoint on behalf of all requests with `wait=sealed`.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::log::EventPlace;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// The number of events whose log index one query reads.
const EVENTS_PER_QUERY: usize = 10_000;

/// The requests that wait until their events are sealed.
pub(crate) struct SealWatch {
    ledger: Ledger,
    waiters: Mutex<Vec<Waiter>>,
    /// Notified when a request starts to wait.
    waiter_added: Notify,
}

/// A request that waits.
struct Waiter {
    /// The events that it waits for.
    places: Vec<EventPlace>,
    /// The size of the checkpoint against which the events were last checked.
    checked_size: Option<u64>,
    sealed: oneshot::Sender<()>,
}

impl SealWatch {
    /// Creates a watch without waiters.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, waiters: Mutex::default(), waiter_added: Notify::new() }
    }

    /// Returns when the published checkpoint covers all of these events, or when the watch ends. Dropping the future removes
    /// the waiter.
    pub(crate) async fn wait_until_sealed(&self, places: Vec<EventPlace>) {
        let (sealed, notified) = oneshot::channel();
        self.waiters().push(Waiter { places, checked_size: None, sealed });
        self.waiter_added.notify_one();
        // The sender is dropped without a message when the watch ends.
        let _ = notified.await;
    }

    /// Checks at each interval whether a new checkpoint covers the events of a waiter. Sleeps while there are no waiters.
    /// Returns when `shutdown` fires.
    pub(crate) async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        let mut failing = false;
        while shutdown.run_until_cancelled(self.any_waiter()).await.is_some() {
            match self.check().await {
                Ok(()) => failing = false,
                Err(error) if failing => {
                    tracing::debug!(error = %error_chain(&error), "the checkpoint still cannot be read");
                }
                Err(error) => {
                    failing = true;
                    tracing::warn!(
                        error = %error_chain(&error),
                        "the checkpoint cannot be read; requests with wait=sealed keep waiting"
                    );
                }
            }
            shutdown.run_until_cancelled(tokio::time::sleep(interval)).await;
        }
        self.waiters().clear();
    }

    async fn any_waiter(&self) {
        while self.waiters().is_empty() {
            self.waiter_added.notified().await;
        }
    }

    async fn check(&self) -> Result<(), LedgerError> {
        let size = self.ledger.log().shown_checkpoint().await?.map_or(0, |(size, _)| size);
        // Waiters keep their order, so the first `count` stay the same ones while new ones are added.
        let (places, count) = {
            let mut waiters = self.waiters();
            waiters.retain(|waiter| !waiter.sealed.is_closed());
            let unchecked = waiters.iter().filter(|waiter| waiter.checked_size != Some(size));
            let places: Vec<EventPlace> = unchecked.flat_map(|waiter| waiter.places.iter().cloned()).collect();
            (places, waiters.len())
        };
        if places.is_empty() {
            return Ok(());
        }
        let mut sealed = HashSet::with_capacity(places.len());
        for chunk in places.chunks(EVENTS_PER_QUERY) {
            let indexes = self.ledger.log().leaf_indexes(chunk).await?;
            let covered = chunk.iter().zip(indexes).filter(|(_, index)| index.is_some_and(|index| index < size));
            sealed.extend(covered.map(|(place, _)| place));
        }
        let mut waiters = self.waiters();
        waiters.iter_mut().take(count).for_each(|waiter| waiter.checked_size = Some(size));
        let is_sealed = |waiter: &mut Waiter| waiter.places.iter().all(|place| sealed.contains(place));
        for waiter in waiters.extract_if(.., is_sealed) {
            // The send fails if the request has ended in the meantime.
            let _ = waiter.sealed.send(());
        }
        Ok(())
    }

    fn waiters(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.waiters.lock().expect("the lock is only held to read and move waiters")
    }
}
