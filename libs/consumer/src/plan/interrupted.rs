//! Attempts that replay counted, and that a failure of the ledger ended. No handler failed in them and the process lives on, so
//! they are taken back once the ledger answers (docs/spec/protocol.md#consume-4).

use std::collections::BTreeMap;

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Positions;
use tokio::sync::Mutex;

/// Where an attempt was counted: the subscription, the plan and the seq of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub subscription_no: i64,
    pub plan_no: i64,
    pub seq: u64,
}

/// The interrupted attempts of a process, whichever of its assignments they were counted in, with their numbers.
///
/// While the ledger fails no attempt can be counted, so that there are no more than tasks that were in flight when it failed.
#[derive(Debug, Default)]
pub(crate) struct InterruptedAttempts(Mutex<BTreeMap<Counted, u32>>);

impl InterruptedAttempts {
    /// Adds an attempt that was interrupted.
    pub(crate) async fn add(&self, counted: Counted) {
        *self.0.lock().await.entry(counted).or_default() += 1;
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
        let mut interrupted = self.0.lock().await;
        let meant: Vec<(Counted, u32)> =
            interrupted.iter().filter(|(at, _)| is_meant(at)).map(|(at, attempts)| (*at, *attempts)).collect();
        for (at, attempts) in &meant {
            positions.take_back_attempts(at.subscription_no, at.plan_no, at.seq, *attempts).await?;
            interrupted.remove(at);
        }
        Ok(!meant.is_empty())
    }
}
