//! Attempts that replay counted, and that did not come to an end because the ledger failed, the lease was lost or the process was told
//! to stop. No handler failed in them, and the process lives on, so that they are taken back (docs/spec/protocol.md#consume-4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Positions;

/// Where an attempt was counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counted {
    pub subscription_no: i64,
    pub tenant: Arc<str>,
    pub plan: Arc<str>,
    pub plan_no: i64,
    /// The seq of the event.
    pub seq: u64,
}

/// The interrupted attempts of a process, whichever of its assignments they were counted in.
///
/// While the ledger fails no attempt can be counted, so that there are no more than tasks that were in flight when it failed.
#[derive(Debug, Default)]
pub(crate) struct InterruptedAttempts {
    /// The number of attempts of each event.
    attempts: Mutex<HashMap<Counted, u32>>,
    /// Held while attempts are taken back, so that none is taken back twice.
    turn: tokio::sync::Mutex<()>,
}

impl InterruptedAttempts {
    /// Begins an attempt, which is interrupted if it is dropped before it has ended.
    pub(crate) fn begin(&self, counted: Counted) -> OpenAttempt<'_> {
        OpenAttempt { interrupted: self, counted, has_ended: false }
    }

    /// Takes back the attempts that are meant, so that a position that is read afterwards does not count them. One that cannot be taken
    /// back does not keep the others; its error is returned.
    ///
    /// An attempt stays here until the ledger has confirmed that it is taken back. If that was done but not confirmed, it is done
    /// twice: the event then has an attempt more than its policy allows, but none less.
    pub(crate) async fn take_back(
        &self,
        positions: Positions<'_>,
        is_meant: impl Fn(&Counted) -> bool,
    ) -> Result<(), LedgerError> {
        // Plans without interrupted attempts do not wait for others.
        if !self.attempts().keys().any(&is_meant) {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let meant: Vec<(Counted, u32)> = {
            let attempts = self.attempts();
            attempts.iter().filter(|(at, _)| is_meant(at)).map(|(at, count)| (at.clone(), *count)).collect()
        };
        let mut outcome = Ok(());
        for (at, count) in meant {
            if let Err(error) = positions.take_back_attempts(at.subscription_no, at.plan_no, at.seq, count).await {
                outcome = Err(error);
                continue;
            }
            let mut attempts = self.attempts();
            // Another attempt may have been interrupted meanwhile.
            match attempts.get_mut(&at) {
                Some(now) if *now > count => *now -= count,
                _ => _ = attempts.remove(&at),
            }
        }
        outcome
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Counted, u32>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that is running.
pub(crate) struct OpenAttempt<'a> {
    interrupted: &'a InterruptedAttempts,
    counted: Counted,
    has_ended: bool,
}

impl OpenAttempt<'_> {
    /// Ends the attempt: its handler has succeeded, or its failure is recorded.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for OpenAttempt<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            *self.interrupted.attempts().entry(self.counted.clone()).or_default() += 1;
        }
    }
}
