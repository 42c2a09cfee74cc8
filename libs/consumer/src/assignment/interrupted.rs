//! Attempts that replay counted, and that did not come to an end because the ledger failed or the lease was lost. No handler failed
//! in them and the process lives on, so that they are taken back once the ledger answers (docs/spec/protocol.md#consume-4).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Positions;

/// Where an attempt was counted: the subscription, the plan and the seq of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub subscription_no: i64,
    pub plan_no: i64,
    pub seq: u64,
}

/// The interrupted attempts of a process, whichever of its assignments they were counted in.
///
/// While the ledger fails no attempt can be counted, so that there are no more than tasks that were in flight when it failed.
#[derive(Debug, Default)]
pub(crate) struct InterruptedAttempts {
    /// The number of attempts of each event.
    attempts: Mutex<BTreeMap<Counted, u32>>,
    /// Held while attempts are taken back, so that none is taken back twice.
    turn: tokio::sync::Mutex<()>,
}

impl InterruptedAttempts {
    /// Begins an attempt, which is interrupted if it is dropped before it has ended.
    pub(crate) fn begin(&self, counted: Counted) -> OpenAttempt<'_> {
        OpenAttempt { interrupted: self, counted, has_ended: false }
    }

    /// Takes back the attempts of one plan. Returns whether there were any.
    pub(crate) async fn take_back_of(
        &self,
        positions: Positions<'_>,
        subscription_no: i64,
        plan_no: i64,
    ) -> Result<bool, LedgerError> {
        self.take_back_if(positions, |at| (at.subscription_no, at.plan_no) == (subscription_no, plan_no)).await
    }

    /// Takes back all attempts.
    pub(crate) async fn take_back(&self, positions: Positions<'_>) -> Result<(), LedgerError> {
        self.take_back_if(positions, |_| true).await.map(drop)
    }

    /// An attempt stays here until the ledger has confirmed that it is taken back. If that was done but not confirmed, it is done
    /// twice: the event then has an attempt more than its policy allows, but none less.
    async fn take_back_if(
        &self,
        positions: Positions<'_>,
        is_meant: impl Fn(&Counted) -> bool,
    ) -> Result<bool, LedgerError> {
        let _turn = self.turn.lock().await;
        let meant: Vec<(Counted, u32)> =
            self.attempts().iter().filter(|(at, _)| is_meant(at)).map(|(at, count)| (*at, *count)).collect();
        for (at, count) in &meant {
            positions.take_back_attempts(at.subscription_no, at.plan_no, at.seq, *count).await?;
            let mut attempts = self.attempts();
            // Another attempt may have been interrupted meanwhile.
            match attempts.get_mut(at) {
                Some(now) if *now > *count => *now -= count,
                _ => _ = attempts.remove(at),
            }
        }
        Ok(!meant.is_empty())
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<Counted, u32>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that is under way.
pub(crate) struct OpenAttempt<'a> {
    interrupted: &'a InterruptedAttempts,
    counted: Counted,
    has_ended: bool,
}

impl OpenAttempt<'_> {
    /// Ends the attempt: its handler has succeeded or failed.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for OpenAttempt<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            *self.interrupted.attempts().entry(self.counted).or_default() += 1;
        }
    }
}
