//! Where a handler runs: its effect and the move of the position, as one.
//!
//! In the ledger both are one transaction, which may hold several plans. Elsewhere the effect comes first and the position
//! follows it; the lease is looked at before each call.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{self, Move, Standing, State};

use crate::assignment::Share;
use crate::handler::{Delivery, Handler, HandlerError, LedgerEffect, OuterEffect};

/// How much of an error is kept, in bytes.
const MAX_ERROR: usize = 4_096;

/// Events of one plan that are to be applied, from where it stands. Never empty.
pub(crate) struct Run<'a> {
    pub from: &'a Standing,
    pub records: &'a [Arc<Record>],
}

impl Run<'_> {
    /// The standing after the first `count` of its events.
    pub(crate) fn after(&self, count: usize) -> Standing {
        let Some(last) = count.checked_sub(1).and_then(|index| self.records.get(index)) else {
            return self.from.clone();
        };
        let mut standing = self.from.clone();
        standing.next_seq = last.header.seq + 1;
        standing.last_hash = last.event_hash;
        standing.stored = true;
        standing.attempts = 0;
        standing.agrees = true;
        standing
    }

    fn end(&self) -> (u64, Hash) {
        let after = self.after(self.records.len());
        (after.next_seq, after.last_hash)
    }
}

/// What came of a run, or of several in one transaction.
pub(crate) enum Effected {
    /// All of it took effect, and the positions moved.
    Moved,
    /// A position was not where it was read, or the lease is gone: nothing of it counts.
    Missed,
    /// The handler failed.
    Failed(Failed),
}

/// A failed call of a handler.
pub(crate) struct Failed {
    /// Which of the runs.
    pub run: usize,
    /// How many of its events took effect, and are behind the position now.
    pub applied: usize,
    /// The event that failed, where the call held just one.
    pub culprit: Option<usize>,
    /// What the handler said.
    pub error: String,
}

/// One call of a handler: some wanted events.
struct Call {
    deliveries: Vec<Delivery>,
    /// The run of its first event.
    run: usize,
    /// Index in that run of its first event.
    first: usize,
}

impl Call {
    /// The event that failed if the call did, where there can be no doubt: its index in its run.
    fn culprit(&self) -> Option<usize> {
        (self.deliveries.len() == 1).then_some(self.first)
    }
}

impl Share {
    /// Applies runs of different plans. Effects elsewhere take one run at a time.
    pub(crate) async fn take_effect(&self, runs: &[Run<'_>]) -> Result<Effected, LedgerError> {
        match (&self.worked.handler, runs) {
            (Handler::InLedger(effect), _) => self.in_ledger(effect.as_ref(), runs).await,
            (Handler::Elsewhere(effect), [run]) => self.elsewhere(effect.as_ref(), run).await,
            (Handler::Elsewhere(_), _) => unreachable!("only effects in the ledger share a transaction"),
        }
    }

    async fn in_ledger(&self, effect: &dyn LedgerEffect, runs: &[Run<'_>]) -> Result<Effected, LedgerError> {
        let _turn = self.worked.transactions.acquire().await;
        let mut transaction = self.worked.ledger().effects_pool().begin().await?;
        let moves: Vec<Move> = runs
            .iter()
            .map(|run| {
                let (next_seq, last_hash) = run.end();
                Move { from: run.from, next_seq, last_hash }
            })
            .collect();
        if !positions::advance(&mut transaction, self.worked.subscription_no, self.lease.epoch_of(), &moves).await? {
            transaction.rollback().await?;
            self.worked.metrics.fenced.inc();
            return Ok(Effected::Missed);
        }
        let calls = self.calls(runs);
        for call in &calls {
            if let Err(error) = self.call(effect.apply(&call.deliveries, &mut transaction)).await {
                transaction.rollback().await?;
                return Ok(Effected::Failed(Failed { run: call.run, applied: 0, culprit: call.culprit(), error }));
            }
        }
        // A transaction that a swallowed error has ended would be rolled back by COMMIT without a word.
        if let Err(error) = sqlx::Executor::execute(&mut *transaction, "SELECT -- effect_is_sound").await {
            transaction.rollback().await?;
            let (run, culprit) = match calls.as_slice() {
                [call] => (call.run, call.culprit()),
                _ => (0, None),
            };
            let error = format!("the handler left the transaction unusable: {error}");
            return Ok(Effected::Failed(Failed { run, applied: 0, culprit, error }));
        }
        transaction.commit().await?;
        self.worked.metrics.delivered.inc_by(calls.iter().map(|call| call.deliveries.len() as u64).sum());
        Ok(Effected::Moved)
    }

    async fn elsewhere(&self, effect: &dyn OuterEffect, run: &Run<'_>) -> Result<Effected, LedgerError> {
        let (mut handled, mut failed) = (0, None);
        for call in self.calls(std::slice::from_ref(run)) {
            if !self.lease.is_held() {
                return Ok(Effected::Missed);
            }
            if let Err(error) = self.call(effect.apply(&call.deliveries)).await {
                failed = Some(Failed { run: 0, applied: call.first, culprit: call.culprit(), error });
                break;
            }
            handled += call.deliveries.len() as u64;
        }
        let applied = failed.as_ref().map_or(run.records.len(), |failed| failed.applied);
        if applied > 0 && !self.follow(&run.after(applied), run.from).await? {
            self.worked.metrics.fenced.inc();
            return Ok(Effected::Missed);
        }
        self.worked.metrics.delivered.inc_by(handled);
        Ok(failed.map_or(Effected::Moved, Effected::Failed))
    }

    /// Moves the position after an effect elsewhere. Where the sweep has meanwhile left the plan behind at the same place,
    /// it moves from there: the effect is done, and need not be done again.
    async fn follow(&self, to: &Standing, from: &Standing) -> Result<bool, LedgerError> {
        let worked = &self.worked;
        let mut from = from.clone();
        for _ in 0..2 {
            let mut connection = worked.ledger().effects_pool().acquire().await?;
            let step = Move { from: &from, next_seq: to.next_seq, last_hash: to.last_hash };
            if positions::advance(&mut connection, worked.subscription_no, self.lease.epoch_of(), &[step]).await? {
                return Ok(true);
            }
            drop(connection);
            let read =
                worked.ledger().positions().read(worked.subscription_no, &[from.plan_no]).await?.remove(&from.plan_no);
            match read {
                Some(now)
                    if (now.next_seq, now.last_hash, now.state) == (from.next_seq, from.last_hash, State::Behind) =>
                {
                    from = now;
                }
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// The wanted events of some runs, in order, as the calls that the handler takes.
    fn calls(&self, runs: &[Run<'_>]) -> Vec<Call> {
        let longest = self.worked.handler.longest_run();
        let mut calls: Vec<Call> = Vec::new();
        for (run, Run { records, .. }) in runs.iter().enumerate() {
            for (index, record) in records.iter().enumerate().filter(|(_, record)| self.worked.spec.wants(record)) {
                let (subscription, lease) = (self.worked.name.clone(), self.lease.clone());
                let delivery = Delivery { record: record.clone(), subscription, lease };
                match calls.last_mut() {
                    Some(call) if call.deliveries.len() < longest => call.deliveries.push(delivery),
                    _ => calls.push(Call { deliveries: vec![delivery], run, first: index }),
                }
            }
        }
        calls
    }

    /// Runs one call of the handler; too long a call and a panic are failures like others.
    async fn call(&self, apply: impl Future<Output = Result<(), HandlerError>>) -> Result<(), String> {
        let limit = self.worked.settings().handler_timeout;
        let began = Instant::now();
        let outcome = tokio::time::timeout(limit, AssertUnwindSafe(apply).catch_unwind()).await;
        self.worked.metrics.handled(began.elapsed());
        let error = match outcome {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => format!("the handler panicked: {}", said(panic.as_ref())),
            Err(_) => format!("the handler took longer than {limit:?}"),
        };
        self.worked.metrics.failed.inc();
        Err(kept(&error))
    }
}

/// What of an error is kept: no more than an operator reads, and nothing that a text column refuses.
fn kept(error: &str) -> String {
    error[..error.floor_char_boundary(MAX_ERROR)].replace('\0', "\u{fffd}")
}

/// What a panic said, where it said it in words.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}
