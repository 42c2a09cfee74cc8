//! A batcher: one loop that turns whatever has queued up into one transaction after the other.
//!
//! No timer: on an idle system a call goes at once, under load a batch is what came while the last commit was in flight.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sealbus_core::partition::PlanKey;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::AppendSettings;
use super::call::{AppendError, Appended, Call, Hint};
use super::link::Linker;
use super::queue::{Queue, Waiting};
use super::transaction::{Locking, Outcome, WarmConnection, run};
use crate::Ledger;

/// Batches that may find a plan busy before its calls go alone.
const DEFERRALS: u32 = 3;
/// Plans of a batcher that wait on connections of their own at once.
const ALONE: usize = 2;
/// How long an idle batcher keeps its connection.
const KEPT: Duration = Duration::from_secs(10);

/// The caller's side of a batcher; dropping it ends the loop once all that waits is answered.
pub(super) struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something came, a plan was released, or the callers are gone.
    news: Notify,
    closed: std::sync::atomic::AtomicBool,
}

/// What a batcher works with.
#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    ledger: Ledger,
    linker: Arc<Linker>,
    settings: AppendSettings,
    hints: Option<mpsc::Sender<Vec<Hint>>>,
    /// Connections that waiting calls may hold, so that they never take them all.
    alone: Arc<Semaphore>,
}

impl Batcher {
    pub(super) fn start(
        ledger: Ledger,
        linker: Arc<Linker>,
        settings: &AppendSettings,
        hints: Option<mpsc::Sender<Vec<Hint>>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(settings.max_waiting_events)),
            news: Notify::new(),
            closed: std::sync::atomic::AtomicBool::new(false),
        });
        let alone = Arc::new(Semaphore::new(ALONE));
        let worker = Worker { shared: shared.clone(), ledger, linker, settings: settings.clone(), hints, alone };
        tokio::spawn(worker.work());
        Self { shared }
    }

    pub(super) async fn append(&self, call: Call, key: PlanKey) -> Result<Vec<Appended>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { call, key, deferrals: 0, answer };
        if self.shared.queue().push(waiting).is_err() {
            return Err(AppendError::Overloaded);
        }
        self.shared.news.notify_one();
        answered.await.unwrap_or_else(|_| {
            Err(AppendError::Unavailable { detail: "the batcher stopped before it answered".into() })
        })
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.closed.store(true, std::sync::atomic::Ordering::Release);
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of the queue panics: it only moves calls")
    }
}

impl Worker {
    async fn work(self) {
        let mut warm = WarmConnection::default();
        loop {
            let batch = self.shared.queue().take(self.settings.max_batch_events, self.settings.max_batch_plans);
            if !batch.is_empty() {
                self.append(&mut warm, batch).await;
            } else if self.shared.closed.load(std::sync::atomic::Ordering::Acquire) {
                return;
            } else {
                self.wait(&mut warm).await;
            }
        }
    }

    /// Waits for news. The connection is given back where none come for a while, and where the pool is being closed, which
    /// waits for what it lent.
    async fn wait(&self, warm: &mut WarmConnection) {
        tokio::select! {
            () = self.shared.news.notified() => return,
            () = tokio::time::sleep(KEPT) => {}
            () = self.ledger.pool().close_event() => {}
        }
        warm.discard();
        self.shared.news.notified().await;
    }

    async fn append(&self, warm: &mut WarmConnection, batch: Vec<Waiting>) {
        let Outcome { hints, busy } = run(&self.ledger, warm, &self.linker, batch, Locking::Try).await;
        self.hint(hints);
        if !busy.is_empty() {
            self.defer(busy);
        }
    }

    /// Puts busy plans' calls back, or sends them on a connection of their own once they have waited long enough.
    fn defer(&self, busy: Vec<Waiting>) {
        let mut again: Vec<Waiting> = Vec::new();
        let mut alone: Vec<(PlanKey, Vec<Waiting>)> = Vec::new();
        for mut waiting in busy {
            waiting.deferrals += 1;
            let key = waiting.key;
            if let Some((_, calls)) = alone.iter_mut().find(|(held, _)| *held == key) {
                calls.push(waiting);
            } else if waiting.deferrals >= DEFERRALS {
                alone.push((key, vec![waiting]));
            } else {
                again.push(waiting);
            }
        }
        let mut queue = self.shared.queue();
        for (key, _) in &alone {
            queue.hold(*key);
        }
        queue.put_back(again);
        drop(queue);
        for (key, calls) in alone {
            let worker = self.clone();
            tokio::spawn(async move {
                let turn = worker.alone.acquire().await;
                let Outcome { hints, busy } = run(
                    &worker.ledger,
                    &mut WarmConnection::default(),
                    &worker.linker,
                    calls,
                    Locking::Wait(worker.settings.lock_timeout),
                )
                .await;
                drop(turn);
                worker.hint(hints);
                let mut queue = worker.shared.queue();
                queue.put_back(busy);
                queue.release(key);
                drop(queue);
                worker.shared.news.notify_one();
            });
        }
    }

    /// A hint that finds no room is dropped: the relay's sweep finds the event.
    fn hint(&self, hints: Vec<Hint>) {
        if let Some(sender) = &self.hints
            && !hints.is_empty()
        {
            let _ = sender.try_send(hints);
        }
    }
}
