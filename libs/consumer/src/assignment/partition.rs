//! The holder of a share: takes what is pulled and what is due, gives each plan's actor its errands, and answers the broker
//! once the ledger covers a message. Its memory dies with the epoch of its lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_broker::Handle;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{Standing, State};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tracing::warn;

use crate::assignment::{PlanName, Share};
use crate::handler::Handler;
use crate::plan::actor::Errand;
use crate::plan::group::Attended;
use crate::plan::slots::{Bounds, Slots, Waiting};

/// How long a plan's names and standing are kept after the last thing that happened to it.
const IDLE: Duration = Duration::from_mins(1);
/// Answers to the broker that may wait to be sent; progress beyond that is skipped.
const ANSWERS: usize = 8_192;

enum Answer {
    Ack(Arc<Handle>),
    Progress(Arc<Handle>),
}

/// What a task of the holder came back with.
enum Finished {
    Attended(Vec<(PlanName, Attended)>),
    /// The ledger could not be asked.
    Away(Vec<PlanName>, LedgerError),
    /// A busy plan was to be left behind; its standing, if it was.
    Overflowed(PlanName, Option<Standing>),
}

struct Holder {
    share: Share,
    slots: Slots<Arc<Handle>>,
    tasks: JoinSet<Finished>,
    attending: usize,
    answers: mpsc::Sender<Answer>,
    acks: Vec<Arc<Handle>>,
}

/// Works for a share until its lease is gone; then ends what is in flight, for a while, and answers for it.
pub(crate) async fn hold(share: Share, mut due: mpsc::UnboundedReceiver<PlanName>) {
    let settings = share.worked.settings().clone();
    let (hand, mut pulled) = mpsc::channel(64);
    let mut pulling = JoinSet::new();
    pulling.spawn(crate::intake::pull::pull(share.clone(), hand));
    let (answers, to_send) = mpsc::channel(ANSWERS);
    let answering = tokio::spawn(answer(to_send));
    let bounds = Bounds {
        per_plan: settings.queued_per_plan,
        bytes_per_tenant: settings.queued_bytes_per_tenant,
        plans_together: settings.plans_per_transaction,
        worn_delivery: settings.worn_delivery,
    };
    let (slots, tasks) = (Slots::new(bounds), JoinSet::new());
    let mut holder = Holder { share: share.clone(), slots, tasks, attending: 0, answers, acks: Vec::new() };
    let mut progress = interval(settings.progress_every);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        holder.give_out();
        holder.send_acks();
        // One that is due already waits for an errand to end, not for the clock.
        let put_off = holder.slots.first_put_off().filter(|at| *at > Instant::now());
        tokio::select! {
            () = share.lease.gone() => break,
            Some(waiting) = pulled.recv(), if holder.slots.has_room() => {
                holder.receive(waiting);
                while let Ok(waiting) = pulled.try_recv() {
                    holder.receive(waiting);
                }
            }
            Some(plan) = due.recv() => holder.slots.replay_is_due(&plan, Instant::now()),
            Some(finished) = holder.tasks.join_next(), if !holder.tasks.is_empty() => holder.finish(finished),
            _ = progress.tick() => holder.say_progress(),
            () = sleep_until(put_off.unwrap_or_else(Instant::now).into()), if put_off.is_some() => {}
        }
    }
    pulling.shutdown().await;
    let drained = timeout(settings.shutdown_grace, async {
        while let Some(finished) = holder.tasks.join_next().await {
            holder.finish(finished);
        }
    });
    if drained.await.is_err() {
        warn!(subscription = %share.worked.name, partition = ?share.partition, "work in flight did not end in time; it is done again by another");
    }
    holder.tasks.shutdown().await;
    holder.send_acks();
    drop(holder);
    // What the broker does not hear is delivered again.
    let _ = timeout(Duration::from_secs(1), answering).await;
}

impl Holder {
    fn receive(&mut self, waiting: Waiting<Arc<Handle>>) {
        let name = PlanName::new(&waiting.record.header.tenant, &waiting.record.header.plan);
        self.slots.push(waiting, Instant::now());
        self.relieve(&name);
    }

    /// Leaves a plan behind whose handler is busy elsewhere while more and more waits. A handler in the ledger holds its
    /// position's row, and so would hold this up.
    fn relieve(&mut self, name: &PlanName) {
        if matches!(self.share.worked.handler, Handler::InLedger(_)) {
            return;
        }
        if let Some(seen) = self.slots.overflowing(name) {
            let (share, name) = (self.share.clone(), name.clone());
            self.tasks.spawn(async move {
                let left = share.leave_behind_busy(&name, seen).await.unwrap_or_else(|error| {
                    warn!(subscription = %share.worked.name, plan = %name, %error, "a crowded plan cannot be left behind now");
                    None
                });
                Finished::Overflowed(name, left)
            });
        }
    }

    /// Starts errands while there is room for them.
    fn give_out(&mut self) {
        let settings = self.share.worked.settings();
        let (room, together) = match self.share.worked.handler {
            Handler::InLedger(_) => (settings.in_flight, true),
            Handler::Elsewhere(_) => (settings.outer_in_flight, false),
        };
        while self.attending < room {
            let errands = self.slots.take(together, Instant::now());
            if errands.is_empty() {
                return;
            }
            self.attending += 1;
            self.tasks.spawn(attend(self.share.clone(), errands));
        }
    }

    fn finish(&mut self, finished: Result<Finished, tokio::task::JoinError>) {
        let finished = match finished {
            Ok(finished) => finished,
            Err(crashed) if crashed.is_panic() => std::panic::resume_unwind(crashed.into_panic()),
            Err(_) => return,
        };
        let now = Instant::now();
        match finished {
            Finished::Overflowed(name, standing) => self.acks.extend(self.slots.overflowed(&name, standing.as_ref())),
            Finished::Away(plans, error) => {
                self.attending -= 1;
                warn!(subscription = %self.share.worked.name, plans = plans.len(), %error, "the ledger cannot be asked: put off");
                let again = now + self.share.worked.settings().away_pause;
                for name in &plans {
                    self.slots.put_off(name, None, Some(again));
                }
            }
            Finished::Attended(attended) => {
                self.attending -= 1;
                for (name, attended) in attended {
                    match attended {
                        Attended::Done(outcome) => {
                            if outcome.standing.is_none() {
                                self.share.worked.metrics.missing.inc();
                                warn!(subscription = %self.share.worked.name, plan = %name, "the ledger does not know a plan that a message is of");
                            }
                            self.acks.extend(self.slots.done(&name, outcome, now));
                        }
                        Attended::Alone(met) => self.slots.put_off(&name, met, None),
                    }
                    self.relieve(&name);
                }
            }
        }
    }

    /// Hands acks over to be sent. What finds no room goes with the next.
    fn send_acks(&mut self) {
        while let Some(handle) = self.acks.pop() {
            if let Err(mpsc::error::TrySendError::Full(Answer::Ack(handle))) =
                self.answers.try_send(Answer::Ack(handle))
            {
                self.acks.push(handle);
                return;
            }
        }
    }

    fn say_progress(&mut self) {
        let now = Instant::now();
        self.slots.forget_idle(now.checked_sub(IDLE).unwrap_or(now));
        let young = now.checked_sub(self.share.worked.settings().progress_every / 2).unwrap_or(now);
        // Without a connection it would only pile up.
        if self.share.worked.process.broker.is_connected() {
            for handle in self.slots.held_since(young) {
                let _ = self.answers.try_send(Answer::Progress(Arc::clone(handle)));
            }
        }
    }
}

/// Sends answers apart from the holder, which must not wait for a broker that is away.
async fn answer(mut answers: mpsc::Receiver<Answer>) {
    while let Some(answer) = answers.recv().await {
        match answer {
            Answer::Ack(handle) => handle.ack().await,
            Answer::Progress(handle) => handle.progress().await,
        }
    }
}

async fn attend(share: Share, mut errands: Vec<Errand>) -> Finished {
    let names: Vec<PlanName> = errands.iter().map(|errand| errand.plan.clone()).collect();
    let attended = match errands.as_slice() {
        [errand] => share.attend(errand).await.map(|outcome| vec![Attended::Done(outcome)]),
        _ => share.attend_together(&mut errands).await,
    };
    match attended {
        Ok(attended) => Finished::Attended(names.into_iter().zip(attended).collect()),
        Err(error) => Finished::Away(names, error),
    }
}

impl Share {
    /// Leaves a plan behind, or notes what was seen of it, beside its busy actor: that one's next move then misses, or its
    /// move after an effect elsewhere goes on from there.
    async fn leave_behind_busy(&self, name: &PlanName, seen: u64) -> Result<Option<Standing>, LedgerError> {
        let (worked, ledger) = (&self.worked, self.worked.ledger());
        let Some(mut standing) = worked.standings(&[name]).await?.remove(name) else { return Ok(None) };
        let hit = if standing.state == State::Live {
            let left =
                ledger.positions().defer(worked.subscription_no, self.lease.epoch_of(), &[(&standing, seen)]).await?;
            worked.metrics.behind.inc_by(left.len() as u64);
            standing.state = State::Behind;
            left
        } else {
            ledger.positions().mark_seen(worked.subscription_no, &[(standing.plan_no, seen)]).await?
        };
        standing.seen_seq = standing.seen_seq.max(seen);
        Ok((!hit.is_empty()).then_some(standing))
    }
}
