//! Replay: plans that are not live, from the ledger, a page at a turn, so that many get their turn.

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{Ask, State};
use tracing::info;

use crate::plan::actor::{AGAIN, Came, DONE, PlanActor};
use crate::plan::order::Place;
use crate::plan::retries::Step;
use crate::plan::trying::{Failure, Patience, Tried};

impl PlanActor<'_> {
    /// One turn: an operator's ask if there is one, else a page of the plan's events, else back to live.
    pub(crate) async fn replay(&mut self) -> Result<Came, LedgerError> {
        if let Some(ask) = self.standing.ask.clone() {
            return self.carry_out(&ask).await;
        }
        match self.standing.state {
            State::Behind | State::Parked => {}
            State::Live | State::Dead | State::Fork => return Ok(DONE),
        }
        if self.standing.next_seq > self.standing.seen_seq {
            return self.unpark().await;
        }
        let worked = &self.share.worked;
        let chained = self.share.chained(self.standing.plan_no, &Place::from(&self.standing), u64::MAX).await?;
        let Some(first) = chained.records.first() else {
            let lacking =
                || crate::plan::gather::Then::Missing(format!("the ledger lacks event {}", self.standing.next_seq));
            return self.conclude(chained.fault.unwrap_or_else(lacking), 0).await;
        };
        let policy = worked.policy(&first.header.event_type);
        let attempts = self.standing.attempts + 1;
        if worked.spec.wants(first) && policy.spent(self.standing.attempts) {
            let error =
                "all attempts were begun, and the last did not come to an end: its handler may have ended the process";
            let mut failure = Failure::first(self.standing.next_seq, error.to_owned());
            failure.attempts = self.standing.attempts;
            return self.give_up(first, failure, Step::Dead, 0).await;
        }
        if !worked
            .ledger()
            .positions()
            .begin_attempt(worked.subscription_no, &self.standing, policy.delay(attempts))
            .await?
        {
            return Ok(Came::Missed);
        }
        if attempts > 1 {
            worked.metrics.retried.inc();
        }
        let earlier = self.standing.attempts;
        self.standing.attempts = attempts;
        match self
            .share
            .try_all(&mut self.standing, &chained.records, Patience { earlier, ..Patience::default() })
            .await?
        {
            Tried::Missed => Ok(Came::Missed),
            Tried::Halted => Ok(DONE),
            Tried::Aside { record, failure, step } => self.give_up(&record, failure, step, 0).await,
            Tried::All if self.standing.next_seq > self.standing.seen_seq => self.unpark().await,
            Tried::All => Ok(AGAIN),
        }
    }

    async fn unpark(&mut self) -> Result<Came, LedgerError> {
        let worked = &self.share.worked;
        if !worked.ledger().positions().unpark(worked.subscription_no, self.standing.plan_no).await? {
            return Ok(Came::Missed);
        }
        (self.standing.state, self.standing.attempts) = (State::Live, 0);
        Ok(DONE)
    }

    /// Does what an operator asked, if it still is about the position's next event.
    async fn carry_out(&mut self, ask: &Ask) -> Result<Came, LedgerError> {
        let (worked, standing) = (&self.share.worked, &self.standing);
        let target = match ask {
            _ if ask.seq() != standing.next_seq => None,
            Ask::Redrive { .. } if standing.state != State::Fork => Some((standing.next_seq, standing.last_hash)),
            Ask::Skip { seq } if standing.state != State::Fork => {
                let skipped = worked.ledger().history().event_hashes(standing.plan_no, &[*seq]).await?.remove(seq);
                skipped.map(|hash| (seq + 1, hash))
            }
            Ask::Settle { .. } if standing.state == State::Fork => {
                let before = standing.next_seq - 1;
                let adopted =
                    worked.ledger().history().event_hashes(standing.plan_no, &[before]).await?.remove(&before);
                // Nothing was applied yet: the genesis is beyond dispute.
                adopted.or((before == 0).then_some(standing.last_hash)).map(|hash| (standing.next_seq, hash))
            }
            Ask::Redrive { .. } | Ask::Skip { .. } | Ask::Settle { .. } => None,
        };
        let done = match target {
            Some((next_seq, last_hash)) => {
                worked
                    .ledger()
                    .positions()
                    .resume(worked.subscription_no, self.share.lease.epoch_of(), standing, next_seq, last_hash)
                    .await?
            }
            None => worked.ledger().positions().clear_command(worked.subscription_no, standing).await?,
        };
        info!(subscription = %worked.name, plan = %self.plan, ?ask, carried_out = done && target.is_some(), "an operator's ask");
        // What the row says now is read anew, whether it moved or not.
        Ok(Came::Missed)
    }
}
