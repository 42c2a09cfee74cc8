//! Several plans in one optimistic transaction: what makes many small plans cheap (PROTOCOL, Consume, rule 7).
//!
//! Only while all goes well. A plan that is not simply live, and all of them once one has failed, go on alone.

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::State;

use crate::assignment::Share;
use crate::plan::actor::{Came, Errand, Outcome, PlanActor, Work, highest};
use crate::plan::effect::{Effected, Failed, Run};
use crate::plan::gather::{Gathered, Then};
use crate::plan::trying::Failure;

/// What became of one errand of a group.
pub(crate) enum Attended {
    /// It is done.
    Done(Outcome),
    /// It is to be attended alone, with the failure that it met.
    Alone(Option<Failure>),
}

impl Share {
    /// Attends to what arrived for several plans. An error means that the ledger is away.
    pub(crate) async fn attend_together(&self, errands: &mut [Errand]) -> Result<Vec<Attended>, LedgerError> {
        let unknown: Vec<_> =
            errands.iter().filter(|errand| errand.standing.is_none()).map(|errand| &errand.plan).collect();
        if !unknown.is_empty() {
            let mut standings = self.worked.standings(&unknown).await?;
            for errand in errands.iter_mut().filter(|errand| errand.standing.is_none()) {
                errand.standing = standings.remove(&errand.plan);
            }
        }
        let mut gathered: Vec<Option<Gathered>> = Vec::with_capacity(errands.len());
        for errand in errands.iter() {
            gathered.push(match (&errand.standing, &errand.work) {
                (Some(standing), Work::Arrived { arrived, crowded, met: None }) if standing.state == State::Live => {
                    Some(self.gather(standing, arrived, *crowded).await?)
                }
                _ => None,
            });
        }
        // In one order for all holders, so that two transactions do not wait for each other.
        let mut shared: Vec<(usize, Run<'_>)> = Vec::new();
        for (index, (errand, gathered)) in errands.iter().zip(&gathered).enumerate() {
            if let (Some(from), Some(Gathered { run, .. })) = (&errand.standing, gathered)
                && !run.is_empty()
            {
                shared.push((index, Run { from, records: run }));
            }
        }
        shared.sort_by_key(|(_, run)| run.from.plan_no);
        let (indexes, runs): (Vec<usize>, Vec<Run<'_>>) = shared.into_iter().unzip();
        let effected = if runs.is_empty() { Effected::Moved } else { self.take_effect(&runs).await? };
        let moved: Vec<_> =
            runs.iter().zip(&indexes).map(|(run, index)| (*index, run.after(run.records.len()))).collect();
        let met = match effected {
            Effected::Moved => {
                for (index, standing) in moved {
                    errands[index].standing = Some(standing);
                }
                return self.conclude_all(errands, gathered).await;
            }
            Effected::Missed => None,
            Effected::Failed(Failed { run, culprit, error, .. }) => {
                culprit.map(|at| (indexes[run], Failure::first(runs[run].records[at].header.seq, error)))
            }
        };
        let alone = |index| {
            Attended::Alone(met.as_ref().filter(|(culprit, _)| *culprit == index).map(|(_, failure)| failure.clone()))
        };
        Ok((0..errands.len()).map(alone).collect())
    }

    /// What follows the runs that took effect together.
    async fn conclude_all(
        &self,
        errands: &mut [Errand],
        gathered: Vec<Option<Gathered>>,
    ) -> Result<Vec<Attended>, LedgerError> {
        let mut attended = Vec::with_capacity(errands.len());
        for (errand, gathered) in errands.iter_mut().zip(gathered) {
            let (Some(standing), Some(gathered), Work::Arrived { arrived, .. }) =
                (errand.standing.take(), gathered, &errand.work)
            else {
                attended.push(Attended::Alone(None));
                continue;
            };
            let mut actor = PlanActor { share: self, plan: &errand.plan, standing };
            let came = match gathered.then {
                Then::Nothing => Came::Through { again: false },
                then => actor.conclude(then, highest(arrived)).await?,
            };
            attended.push(match came {
                Came::Through { again } => Attended::Done(Outcome { standing: Some(actor.standing), again }),
                Came::Missed => Attended::Alone(None),
            });
        }
        Ok(attended)
    }
}
