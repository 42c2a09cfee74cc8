//! A plan's events through its handler, with tries: as one run while all goes well, singly once a run has failed, and the
//! failing one again after short pauses, until the policy says that the plan is to be set aside.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Standing;

use crate::assignment::Share;
use crate::plan::effect::{Effected, Failed, Run};
use crate::plan::retries::{Step, after_failure};

/// How patient a run of events is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// Pauses in memory, in all.
    pub short: Duration,
    /// Runs of the handler on the first event that count already.
    pub earlier: u32,
    /// A failure of these events that was met outside, in a transaction of several plans.
    pub met: Option<Failure>,
}

/// An event that failed, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub seq: u64,
    pub attempts: u32,
    pub errors: Vec<String>,
    waited: Duration,
}

impl Failure {
    /// The failure of one event of a run.
    pub(crate) fn first(seq: u64, error: String) -> Self {
        Self { seq, attempts: 1, errors: vec![error], waited: Duration::ZERO }
    }

    fn again(mut self, error: String) -> Self {
        self.attempts += 1;
        self.errors.push(error);
        self
    }
}

/// What came of the events.
pub(crate) enum Tried {
    /// All took effect.
    All,
    /// The position was not where it was read.
    Missed,
    /// The holder is going: nothing further is begun.
    Halted,
    /// An event failed; what is to become of its plan.
    Aside {
        /// The event.
        record: Arc<Record>,
        /// Its attempts.
        failure: Failure,
        /// [`Step::Park`] or [`Step::Dead`].
        step: Step,
    },
}

impl Share {
    /// Applies events in order, moving `standing` with the position.
    pub(crate) async fn try_all(
        &self,
        standing: &mut Standing,
        records: &[Arc<Record>],
        patience: Patience,
    ) -> Result<Tried, LedgerError> {
        let first_seq = standing.next_seq;
        let (mut rest, mut failure, mut singly) = (records, patience.met, false);
        while let Some(first) = rest.first() {
            if let Some(failed) = failure.as_mut().filter(|failed| failed.seq == first.header.seq) {
                let policy = self.worked.policy(&first.header.event_type);
                let step = after_failure(&policy, failed.attempts, failed.waited, patience.short);
                let Step::Again(pause) = step else {
                    return Ok(Tried::Aside { record: first.clone(), failure: failed.clone(), step });
                };
                if !self.pause(pause).await {
                    return Ok(Tried::Halted);
                }
                failed.waited += pause;
                self.worked.metrics.retried.inc();
            }
            let size = match &failure {
                _ if singly => 1,
                Some(failed) => rest.iter().take_while(|record| record.header.seq < failed.seq).count().max(1),
                None => rest.len(),
            };
            let run = Run { from: standing, records: &rest[..size] };
            match self.take_effect(std::slice::from_ref(&run)).await? {
                Effected::Missed => return Ok(Tried::Missed),
                Effected::Moved => {
                    *standing = run.after(size);
                    rest = &rest[size..];
                    failure = failure.filter(|failed| failed.seq >= standing.next_seq);
                }
                Effected::Failed(Failed { applied, culprit, error, .. }) => {
                    *standing = run.after(applied);
                    let failed_seq = culprit.map(|index| rest[index].header.seq);
                    rest = &rest[applied..];
                    match failed_seq {
                        None => singly = true,
                        Some(seq) => {
                            failure = Some(match failure.take() {
                                Some(failed) if failed.seq == seq => failed.again(error),
                                _ => {
                                    let mut failed = Failure::first(seq, error);
                                    failed.attempts += if seq == first_seq { patience.earlier } else { 0 };
                                    failed
                                }
                            });
                        }
                    }
                }
            }
        }
        Ok(Tried::All)
    }

    /// Waits, unless the holder is going. Says whether it waited to the end.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.lease.gone() => false,
        }
    }
}
