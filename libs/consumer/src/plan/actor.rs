//! A plan's actor: everything that happens to a plan on the holder of its share goes through here, one errand at a time.
//!
//! An errand is what arrived for the plan, or a turn of replay. The actor reads where the plan stands, decides (`order`),
//! runs (`trying`), and sets aside what cannot go on. Whenever the ledger says that the position is not where it was read,
//! the standing is forgotten and read anew.

use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::parking::SetAside;
use sealbus_ledger::delivery::positions::{Standing, State};
use tracing::{error, warn};

use crate::assignment::{PlanName, Share};
use crate::plan::gather::{Arrived, Then};
use crate::plan::retries::{Step, after_failure};
use crate::plan::trying::{Failure, Patience, Tried};

/// How often in a row a standing may be found stale before the errand is put off.
const MISSES: usize = 8;

/// What an actor is to do.
pub(crate) struct Errand {
    pub plan: PlanName,
    /// Where the plan stood last, as this holder knows it.
    pub standing: Option<Standing>,
    pub work: Work,
}

/// What there is to do for a plan.
pub(crate) enum Work {
    /// Events arrived.
    Arrived {
        /// In the order in which they came.
        arrived: Vec<Arrived>,
        /// Whether they are more than memory is meant to hold.
        crowded: bool,
        /// A failure that was met in a transaction of several plans.
        met: Option<Failure>,
    },
    /// Replay, or an operator's ask, is due.
    Replay,
}

/// Where an errand left the plan.
pub(crate) struct Outcome {
    /// The durable standing. None: the ledger does not know the plan, or the subscription has no floor.
    pub standing: Option<Standing>,
    /// Whether replay has more to do at once.
    pub again: bool,
}

/// How far a part of an errand came.
pub(crate) enum Came {
    /// To its end; whether replay has more to do at once.
    Through { again: bool },
    /// The position was not where it was read.
    Missed,
}

pub(crate) const DONE: Came = Came::Through { again: false };
pub(crate) const AGAIN: Came = Came::Through { again: true };

/// An actor at work on one plan.
pub(crate) struct PlanActor<'a> {
    pub share: &'a Share,
    pub plan: &'a PlanName,
    pub standing: Standing,
}

impl Share {
    /// Carries out an errand. An error means that the ledger is away, and that nothing may be acknowledged on its account.
    pub(crate) async fn attend(&self, errand: &Errand) -> Result<Outcome, LedgerError> {
        let mut known = errand.standing.clone();
        for _ in 0..MISSES {
            let standing = match known.take() {
                Some(standing) => standing,
                None => match self.worked.standings(&[&errand.plan]).await?.remove(&errand.plan) {
                    Some(standing) => standing,
                    None => return Ok(Outcome { standing: None, again: false }),
                },
            };
            let mut actor = PlanActor { share: self, plan: &errand.plan, standing };
            let came = match &errand.work {
                Work::Arrived { arrived, crowded, met } => actor.receive(arrived, *crowded, met.clone()).await?,
                Work::Replay => actor.replay().await?,
            };
            if let Came::Through { again } = came {
                return Ok(Outcome { standing: Some(actor.standing), again });
            }
            if !self.lease.is_held() {
                break;
            }
        }
        let standing = self.worked.standings(&[&errand.plan]).await?.remove(&errand.plan);
        Ok(Outcome { standing, again: matches!(errand.work, Work::Replay) })
    }
}

impl PlanActor<'_> {
    async fn receive(&mut self, arrived: &[Arrived], crowded: bool, met: Option<Failure>) -> Result<Came, LedgerError> {
        let seen = highest(arrived);
        let gathered = self.share.gather(&self.standing, arrived, crowded).await?;
        let short = self.share.worked.settings().short_retries;
        let patience = Patience { short, earlier: 0, met };
        match self.share.try_all(&mut self.standing, &gathered.run, patience).await? {
            Tried::All => self.conclude(gathered.then, seen).await,
            Tried::Missed => Ok(Came::Missed),
            Tried::Halted => Ok(DONE),
            Tried::Aside { record, failure, step } => self.give_up(&record, failure, step, seen).await,
        }
    }

    /// What follows a run that took effect. `seen` is the highest seq that is acknowledged because of it.
    pub(crate) async fn conclude(&mut self, then: Then, seen: u64) -> Result<Came, LedgerError> {
        let (worked, standing) = (&self.share.worked, &self.standing);
        match then {
            Then::Nothing => Ok(DONE),
            Then::Owed => {
                let hit =
                    worked.ledger().positions().mark_seen(worked.subscription_no, &[(standing.plan_no, seen)]).await?;
                if hit.is_empty() {
                    return Ok(Came::Missed);
                }
                self.standing.seen_seq = standing.seen_seq.max(seen);
                Ok(DONE)
            }
            Then::Behind => {
                let left = worked
                    .ledger()
                    .positions()
                    .defer(worked.subscription_no, self.share.lease.epoch_of(), &[(standing, seen)])
                    .await?;
                if left.is_empty() {
                    return Ok(Came::Missed);
                }
                worked.metrics.behind.inc();
                self.now_in(State::Behind, seen, 0);
                Ok(AGAIN)
            }
            Then::Worn { event_type } => {
                let (attempts, policy) = (standing.attempts + 1, worked.policy(&event_type));
                let error = "delivered again and again without being applied: its handler may have ended the process"
                    .to_owned();
                let (state, retry_in) =
                    match after_failure(&policy, attempts, std::time::Duration::ZERO, std::time::Duration::ZERO) {
                        Step::Dead => (State::Dead, None),
                        Step::Again(pause) | Step::Park(pause) => (State::Parked, Some(pause)),
                    };
                self.set_aside(&SetAside { state, seen_seq: seen, attempts, retry_in, errors: &[error] }).await
            }
            Then::Missing(reason) => {
                worked.metrics.missing.inc();
                error!(subscription = %worked.name, plan = %self.plan, %reason, "the plan cannot go on");
                // Said once: replay comes by again and again until the ledger has the event.
                let errors = if standing.state == State::Parked { vec![] } else { vec![reason] };
                let (attempts, retry_in) = (standing.attempts, Some(worked.settings().missing_retry));
                self.set_aside(&SetAside { state: State::Parked, seen_seq: seen, attempts, retry_in, errors: &errors })
                    .await
            }
            Then::Fork(reason) => {
                error!(subscription = %worked.name, plan = %self.plan, %reason, "fork: the plan stops until an operator settles it");
                let attempts = standing.attempts;
                self.set_aside(&SetAside {
                    state: State::Fork,
                    seen_seq: seen,
                    attempts,
                    retry_in: None,
                    errors: &[reason],
                })
                .await
            }
        }
    }

    /// Parks the plan with its failed event, or makes that a dead letter.
    pub(crate) async fn give_up(
        &mut self,
        record: &Record,
        failure: Failure,
        step: Step,
        seen: u64,
    ) -> Result<Came, LedgerError> {
        let (state, retry_in) = match step {
            Step::Dead => (State::Dead, None),
            Step::Again(pause) | Step::Park(pause) => (State::Parked, Some(pause)),
        };
        // The errors of earlier rounds are written down already.
        let errors = &failure.errors;
        let came =
            self.set_aside(&SetAside { state, seen_seq: seen, attempts: failure.attempts, retry_in, errors }).await?;
        if state == State::Dead && !matches!(came, Came::Missed) {
            self.share.copy_dead_letter(record, errors.last().map_or("", String::as_str), failure.attempts).await;
        }
        Ok(came)
    }

    async fn set_aside(&mut self, aside: &SetAside<'_>) -> Result<Came, LedgerError> {
        let worked = &self.share.worked;
        if !worked
            .ledger()
            .positions()
            .set_aside(worked.subscription_no, self.share.lease.epoch_of(), &self.standing, aside)
            .await?
        {
            return Ok(Came::Missed);
        }
        let metrics = &worked.metrics;
        let last_error = aside.errors.last().map_or("", String::as_str);
        match aside.state {
            State::Parked => metrics.parked.inc(),
            State::Dead => metrics.dead.inc(),
            State::Fork => metrics.forks.inc(),
            State::Live | State::Behind => 0,
        };
        warn!(subscription = %worked.name, plan = %self.plan, seq = self.standing.next_seq, state = %aside.state, last_error, "set aside");
        self.now_in(aside.state, aside.seen_seq, aside.attempts);
        Ok(DONE)
    }

    fn now_in(&mut self, state: State, seen: u64, attempts: u32) {
        let standing = &mut self.standing;
        standing.seen_seq = standing.seen_seq.max(standing.next_seq).max(seen);
        (standing.state, standing.attempts, standing.stored) = (state, attempts, true);
    }
}

/// The highest seq that arrived.
pub(crate) fn highest(arrived: &[Arrived]) -> u64 {
    arrived.iter().map(|arrived| arrived.record.header.seq).max().unwrap_or(0)
}
