//! The worker of an assignment: it gives each plan its tasks, and replies to the broker once the position covers a
//! message.
//!
//! The worker keeps its state in memory as long as the epoch of the lease lasts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_broker::Handle;
use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::parking::Locked;
use sealbus_ledger::delivery::positions::{Position, PositionState};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{Instrument, warn};

use crate::assignment::Assignment;
use crate::handler::Handler;
use crate::intake::pull;
use crate::metrics;
use crate::plan::group::process_together;
use crate::plan::message::QueuedMessage;
use crate::plan::process::process;
use crate::plan::slots::{Limits, Slots};
use crate::plan::task::PlanOutcome;
use crate::plan_name::PlanName;

/// How long a plan's position is remembered after something happened to it last.
const IDLE_PLAN_TIMEOUT: Duration = Duration::from_mins(1);
/// How many pulled messages wait for the worker at most.
const MAX_PULLED: usize = 64;
/// The most replies that wait to be sent. Acknowledgements beyond that wait in the worker; progress reports are
/// dropped.
const MAX_QUEUED_REPLIES: usize = 8_192;
/// The most transactions in flight.
const MAX_TRANSACTIONS: usize = 4;
/// The most plans in flight whose effect is external.
const MAX_EXTERNAL_PLANS: usize = 16;
/// The most plans that share a transaction.
const PLANS_PER_TRANSACTION: usize = 32;
/// How long replies that are queued when the worker ends may take. The broker delivers again what it gets no reply to.
const LAST_REPLIES_TIMEOUT: Duration = Duration::from_secs(1);

/// A reply to the broker about one message.
enum Reply {
    /// The message is acknowledged: the broker never delivers it again.
    Acknowledge(Arc<Handle>),
    /// The message is being worked on: its acknowledgement wait starts again.
    Progress(Arc<Handle>),
}

/// The result of a task that the worker spawned.
enum Finished {
    /// The tasks of these plans have ended, with an outcome for each or because the ledger could not be used.
    Processed(Vec<PlanName>, Result<Vec<PlanOutcome>, LedgerError>),
    /// A plan over its limit was deferred while its task was in flight: its position, or `None` if it had moved.
    Deferred(PlanName, Result<Option<Position>, LedgerError>),
}

struct Worker {
    assignment: Arc<Assignment>,
    slots: Slots<Arc<Handle>>,
    spawned: JoinSet<Finished>,
    /// How many of the spawned tasks process plans.
    in_flight: usize,
    replies: mpsc::Sender<Reply>,
    acknowledged: Vec<Arc<Handle>>,
}

/// Works on an assignment until it ends. Then the tasks in flight have the shutdown grace period to finish, and their
/// messages are acknowledged.
pub(crate) async fn work(assignment: Arc<Assignment>, due: mpsc::UnboundedReceiver<PlanName>) {
    let span = assignment.span();
    Worker::run(assignment, due).instrument(span).await;
}

impl Worker {
    async fn run(assignment: Arc<Assignment>, mut due: mpsc::UnboundedReceiver<PlanName>) {
        let settings = assignment.context.settings().clone();
        let (queue, mut pulled) = mpsc::channel(MAX_PULLED);
        let mut pulling = JoinSet::new();
        pulling.spawn(pull(assignment.clone(), queue));
        let (replies, queued_replies) = mpsc::channel(MAX_QUEUED_REPLIES);
        let replying = tokio::spawn(send_replies(queued_replies));
        let slots = Slots::new(Limits {
            messages_per_plan: settings.queued_messages_per_plan,
            bytes_per_tenant: settings.queued_bytes_per_tenant,
            plans_per_transaction: PLANS_PER_TRANSACTION,
        });
        let (spawned, acknowledged) = (JoinSet::new(), Vec::new());
        let mut worker = Self { assignment: assignment.clone(), slots, spawned, in_flight: 0, replies, acknowledged };
        let mut progress = interval(settings.progress_interval);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            worker.start_tasks();
            worker.send_acknowledgements();
            // A postponed plan whose time has passed waits for a task to end, not for the clock.
            let postponed = worker.slots.next_postponed().filter(|time| *time > Instant::now());
            tokio::select! {
                () = assignment.ending.cancelled() => break,
                Some(message) = pulled.recv(), if worker.slots.has_room() => {
                    worker.queue(message);
                    while let Ok(message) = pulled.try_recv() {
                        worker.queue(message);
                    }
                }
                Some(plan) = due.recv() => worker.slots.replay_is_due(&plan, Instant::now()),
                Some(finished) = worker.spawned.join_next(), if !worker.spawned.is_empty() => worker.finish(finished),
                _ = progress.tick() => worker.report_progress(),
                () = sleep_until(postponed.unwrap_or_else(Instant::now).into()), if postponed.is_some() => {}
            }
        }
        pulling.shutdown().await;
        let drained = timeout(settings.shutdown_grace, async {
            while let Some(finished) = worker.spawned.join_next().await {
                worker.finish(finished);
            }
        });
        if drained.await.is_err() {
            warn!("work in flight exceeded the grace period; it is cancelled, and the next owner repeats it");
        }
        worker.spawned.shutdown().await;
        worker.send_acknowledgements();
        drop(worker);
        let _ = timeout(LAST_REPLIES_TIMEOUT, replying).await;
    }

    fn queue(&mut self, message: QueuedMessage<Arc<Handle>>) {
        let name = self.slots.push(message, Instant::now());
        self.defer_if_over_limit(&name);
    }

    /// Defers a plan that is over its limit while its task is in flight.
    fn defer_if_over_limit(&mut self, name: &PlanName) {
        if let Some(seen) = self.slots.begin_deferring(name) {
            let (assignment, name) = (self.assignment.clone(), name.clone());
            self.spawned.spawn(async move {
                let span = assignment.plan_span(&name);
                let deferred = defer(&assignment, &name, seen).instrument(span).await;
                Finished::Deferred(name, deferred)
            });
        }
    }

    /// Starts tasks while fewer are in flight than may be.
    fn start_tasks(&mut self) {
        let (max_in_flight, together) = match self.assignment.context.handler {
            Handler::InLedger(_) => (MAX_TRANSACTIONS, true),
            Handler::External(_) => (MAX_EXTERNAL_PLANS, false),
        };
        while self.in_flight < max_in_flight {
            let tasks = self.slots.next_tasks(together, Instant::now());
            if tasks.is_empty() {
                return;
            }
            self.in_flight += 1;
            let assignment = self.assignment.clone();
            self.spawned.spawn(async move {
                let outcomes = match tasks.as_slice() {
                    [task] => process(&assignment, task).await.map(|outcome| vec![outcome]),
                    tasks => process_together(&assignment, tasks).await,
                };
                Finished::Processed(tasks.into_iter().map(|task| task.plan).collect(), outcomes)
            });
        }
    }

    fn finish(&mut self, finished: Result<Finished, JoinError>) {
        let finished = match finished {
            Ok(finished) => finished,
            Err(crashed) if crashed.is_panic() => std::panic::resume_unwind(crashed.into_panic()),
            Err(_) => return,
        };
        let now = Instant::now();
        match finished {
            Finished::Deferred(name, deferred) => {
                let position = deferred.unwrap_or_else(|error| {
                    let (tenant, plan, error) = (&*name.tenant, &*name.plan, error_chain(&error));
                    warn!(tenant, plan, error, "plan is over its limit and cannot be deferred now");
                    None
                });
                self.acknowledged.extend(self.slots.finish_deferring(&name, position.as_ref()));
            }
            Finished::Processed(plans, Err(error)) => {
                self.in_flight -= 1;
                let error = error_chain(&error);
                warn!(plans = plans.len(), error, "ledger call failed; work on the plans is postponed");
                let until = now + self.assignment.context.settings().unreachable_pause;
                for name in &plans {
                    self.slots.postpone(name, until);
                }
            }
            Finished::Processed(plans, Ok(outcomes)) => {
                self.in_flight -= 1;
                for (name, outcome) in plans.iter().zip(outcomes) {
                    if matches!(outcome, PlanOutcome::Unknown) {
                        self.assignment.context.metrics.missing.inc();
                        warn!(
                            tenant = &*name.tenant,
                            plan = &*name.plan,
                            "message is of a plan that the ledger lacks; waiting for its next delivery"
                        );
                    }
                    self.acknowledged.extend(self.slots.finish(name, outcome, now));
                    self.defer_if_over_limit(name);
                }
            }
        }
    }

    /// Passes acknowledgements on to be sent. What does not fit into the queue is tried again on the next call.
    fn send_acknowledgements(&mut self) {
        while let Some(handle) = self.acknowledged.pop() {
            if let Err(mpsc::error::TrySendError::Full(Reply::Acknowledge(handle))) =
                self.replies.try_send(Reply::Acknowledge(handle))
            {
                self.acknowledged.push(handle);
                return;
            }
        }
    }

    /// Reports progress on the messages that have been in memory for a while, and forgets idle plans.
    fn report_progress(&mut self) {
        let now = Instant::now();
        self.slots.forget_idle(now.checked_sub(IDLE_PLAN_TIMEOUT).unwrap_or(now));
        let context = &self.assignment.context;
        let received_before = now.checked_sub(context.settings().progress_interval / 2).unwrap_or(now);
        // Without a connection, reports would only fill the queue of replies.
        if context.process.broker.is_connected() {
            for handle in self.slots.held_since(received_before) {
                let _ = self.replies.try_send(Reply::Progress(Arc::clone(handle)));
            }
        }
    }
}

/// Sends replies until the sender is dropped. It is a task apart from the worker, which must not wait for a broker that is
/// unreachable. A reply that is lost leads to another delivery.
async fn send_replies(mut replies: mpsc::Receiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        match reply {
            Reply::Acknowledge(handle) => handle.ack().await,
            Reply::Progress(handle) => handle.progress().await,
        }
    }
}

/// Defers a plan while its task is in flight, and returns its position if that succeeded. Events up to `seen` count as
/// seen. A plan that has applied all of them is not deferred: replay would look for an event that may not exist yet.
///
/// The task then continues from the deferred position if its effect is done, and finds its position stale otherwise.
async fn defer(assignment: &Assignment, name: &PlanName, seen: u64) -> Result<Option<Position>, LedgerError> {
    let context = &assignment.context;
    let (ledger, subscription_no) = (context.ledger(), context.subscription_no);
    let Some(mut position) = context.position(name).await? else { return Ok(None) };
    if seen < position.next_seq {
        return Ok(None);
    }
    let updated = if position.state == PositionState::Live {
        let (epoch, plan) = (&assignment.lease_epoch, (&position, seen));
        let deferred = ledger.positions().defer(subscription_no, epoch, &[plan], Locked::Wait).await?;
        metrics::add(&context.metrics.deferred, deferred.len());
        position.state = PositionState::Deferred;
        deferred
    } else {
        ledger.positions().mark_seen(subscription_no, &[(position.plan_no, seen)], Locked::Wait).await?
    };
    position.seen_seq = position.seen_seq.max(seen);
    Ok((!updated.is_empty()).then_some(position))
}
