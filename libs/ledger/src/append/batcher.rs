//! A batcher: one loop that appends the queued calls, one transaction after the other.
//!
//! There is no timer. On an idle system a call is appended at once; under load, a batch has the calls that came while the
//! previous commit was in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealbus_core::names::Tenant;
use sealbus_core::partition::PlanKey;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::AppendSettings;
use super::call::{AppendError, Appended, Call, Hint};
use super::link::Linker;
use super::metrics::{AppendMetrics, WaitingEvents};
use super::queue::{Queue, Waiting};
use super::supervise::restart_on_panic;
use super::transaction::{Outcome, WarmConnection, run};
use crate::Ledger;

/// The number of batches that find a plan busy before its calls go alone.
const MAX_DEFERRALS: u32 = 3;
/// The highest number of plans of a batcher that wait alone, each on a separate connection.
const MAX_ALONE: u32 = 2;
/// The highest number of connections that a batcher uses at the same time.
pub(crate) const CONNECTIONS_PER_BATCHER: u32 = 1 + MAX_ALONE;
/// How long an idle batcher keeps its connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The sending side of a batcher. After it is dropped, the loop answers the queued calls and ends.
pub(super) struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Signals that a call was queued, that a plan was released, or that the batcher was dropped.
    changed: Notify,
    closed: AtomicBool,
    metrics: AppendMetrics,
}

/// The loop of a batcher.
#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    ledger: Ledger,
    linker: Arc<Linker>,
    settings: AppendSettings,
    hints: Option<mpsc::Sender<Vec<Hint>>>,
    /// Bounds the connections of calls that wait alone, so that they never take all of the pool.
    alone: Arc<Semaphore>,
}

impl Batcher {
    pub(super) fn start(
        ledger: Ledger,
        linker: Arc<Linker>,
        settings: &AppendSettings,
        hints: Option<mpsc::Sender<Vec<Hint>>>,
        metrics: AppendMetrics,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            metrics,
        });
        let alone = Arc::new(Semaphore::new(MAX_ALONE as usize));
        let worker = Worker { shared: shared.clone(), ledger, linker, settings: settings.clone(), hints, alone };
        // The callers of a batch that panics learn that its outcome is unknown, because their channels are dropped.
        tokio::spawn(async move { restart_on_panic("batcher", || worker.clone().work()).await });
        Self { shared }
    }

    pub(super) async fn append(
        &self,
        call: Call,
        key: PlanKey,
        memory: Box<dyn Send + Sync>,
    ) -> Result<Vec<Appended>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let mut caller = WaitingCaller { shared: &self.shared, tenant: Some(call.tenant.clone()) };
        let counted = WaitingEvents::new(&self.shared.metrics.waiting_events, call.events.len());
        let waiting =
            Waiting { cost: call.cost(), call, key, deferrals: 0, answer, _held: Box::new((memory, counted)) };
        self.shared.queue().push(waiting);
        self.shared.changed.notify_one();
        let answer = answered.await.unwrap_or(Err(AppendError::Stopped));
        caller.tenant = None;
        answer
    }
}

/// A caller that waits for its answer. If it is dropped before, its call is removed from the queue.
struct WaitingCaller<'a> {
    shared: &'a Shared,
    tenant: Option<Tenant>,
}

impl Drop for WaitingCaller<'_> {
    fn drop(&mut self) {
        if let Some(tenant) = &self.tenant {
            self.shared.queue().caller_gone(tenant.as_str());
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plan whose later calls are kept in the queue until this is dropped, also by a panic.
struct HeldPlan {
    shared: Arc<Shared>,
    key: PlanKey,
}

impl Drop for HeldPlan {
    fn drop(&mut self) {
        self.shared.queue().held.remove(&self.key);
        self.shared.changed.notify_one();
    }
}

impl Worker {
    async fn work(self) {
        let mut warm = WarmConnection::default();
        loop {
            let batch = self.shared.queue().take(self.settings.max_batch_events, self.settings.max_batch_plans);
            if !batch.is_empty() {
                self.append(&mut warm, batch).await;
            } else if self.shared.closed.load(Ordering::Acquire) {
                return;
            } else {
                self.wait(&mut warm).await;
            }
        }
    }

    /// Waits until something changes. It returns the connection after [`IDLE_TIMEOUT`], or when the pool is closed, because
    /// closing waits for all connections.
    async fn wait(&self, warm: &mut WarmConnection) {
        tokio::select! {
            () = self.shared.changed.notified() => return,
            () = tokio::time::sleep(IDLE_TIMEOUT) => {}
            () = self.ledger.appends().closing() => {}
        }
        warm.give_back();
        self.shared.changed.notified().await;
    }

    async fn append(&self, warm: &mut WarmConnection, batch: Vec<Waiting>) {
        let metrics = &self.shared.metrics;
        let Outcome { hints, busy } = run(&self.ledger, warm, &self.linker, metrics, batch, None).await;
        self.hint(hints);
        if !busy.is_empty() {
            self.defer(busy);
        }
    }

    /// Puts the calls of busy plans back, or lets them wait alone after [`MAX_DEFERRALS`] batches.
    fn defer(&self, busy: Vec<Waiting>) {
        let mut again: Vec<Waiting> = Vec::new();
        let mut alone: Vec<(PlanKey, Vec<Waiting>)> = Vec::new();
        self.shared.metrics.deferrals.inc_by(busy.len() as u64);
        for mut waiting in busy {
            waiting.deferrals += 1;
            let key = waiting.key;
            if let Some((_, calls)) = alone.iter_mut().find(|(other, _)| *other == key) {
                calls.push(waiting);
            } else if waiting.deferrals >= MAX_DEFERRALS {
                alone.push((key, vec![waiting]));
            } else {
                again.push(waiting);
            }
        }
        let mut queue = self.shared.queue();
        queue.held.extend(alone.iter().map(|(key, _)| *key));
        queue.put_back(again);
        drop(queue);
        for (key, mut calls) in alone {
            let (worker, held) = (self.clone(), HeldPlan { shared: self.shared.clone(), key });
            tokio::spawn(async move {
                let permit = worker.alone.acquire().await;
                calls.retain(|waiting| !waiting.is_abandoned());
                let mut connection = WarmConnection::default();
                let wait = Some(worker.settings.lock_timeout);
                let metrics = &worker.shared.metrics;
                metrics.alone.inc();
                let Outcome { hints, busy } =
                    run(&worker.ledger, &mut connection, &worker.linker, metrics, calls, wait).await;
                connection.give_back();
                drop(permit);
                worker.hint(hints);
                worker.shared.queue().put_back(busy);
                drop(held);
            });
        }
    }

    /// Sends hints, unless the channel is full: then the relay's sweep finds the events.
    fn hint(&self, hints: Vec<Hint>) {
        if let Some(sender) = &self.hints
            && !hints.is_empty()
        {
            let _ = sender.try_send(hints);
        }
    }
}
