//! From the broker into a holder's hands: messages are pulled, and refused, answered or handed on.
//!
//! What fails its seal is refused, counted and alarmed, and the true event is read from the ledger in its place. A term is
//! for messages that are not ours alone (PROTOCOL, Consume, rules 2 and 4).

use std::sync::Arc;
use std::time::Instant;

use sealbus_broker::{ConsumerSpec, Delivered, Handle};
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::subscriptions::Start;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::assignment::Share;
use crate::intake::seals::Source;
use crate::plan::slots::Waiting;

/// What to do with a delivered message.
enum Taken {
    /// It is the plan's actor's.
    Hand(Arc<Record>),
    /// It is nothing for this subscription.
    Ack,
    /// It is not ours.
    Term,
    /// Nothing can be said of it now: it comes again.
    Leave,
}

/// Pulls until the lease is gone, or nobody takes what is pulled. While the broker is away it waits.
pub(crate) async fn pull(share: Share, to: mpsc::Sender<Waiting<Arc<Handle>>>) {
    let (worked, settings) = (&share.worked, share.worked.settings());
    let name = worked.spec.name.clone();
    let mut spec = ConsumerSpec::new(name, share.partition, settings.ack_wait, settings.unacknowledged);
    spec.from_now = worked.spec.start == Start::Now;
    let mut deliveries = worked.process.broker.deliveries(spec);
    loop {
        let batch = tokio::select! {
            () = share.lease.gone() => return,
            batch = deliveries.next_batch() => batch,
        };
        for Delivered { record, handle } in batch {
            let taken = match record {
                Ok(record) => share.take(record).await,
                Err(error) => {
                    worked.metrics.refused.inc();
                    warn!(subscription = %worked.name, stream_seq = handle.stream_seq, %error, "a message is not ours");
                    Taken::Term
                }
            };
            match taken {
                Taken::Ack => handle.ack().await,
                Taken::Term => handle.term().await,
                Taken::Leave => {}
                Taken::Hand(record) => {
                    let waiting = Waiting {
                        record,
                        deliveries: handle.deliveries,
                        message: Arc::new(handle),
                        since: Instant::now(),
                    };
                    if to.send(waiting).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Share {
    async fn take(&self, record: Record) -> Taken {
        let (header, intake) = (&record.header, &self.worked.process.intake);
        let here = intake.partition(&header.tenant, &header.plan);
        if header.origin != intake.origin || self.partition.is_some_and(|partition| partition != here) {
            warn!(subscription = %self.worked.name, origin = %header.origin, "a message of another ledger or partition");
            return Taken::Term;
        }
        if !self.worked.spec.follows(&header.tenant) {
            return Taken::Ack;
        }
        let Err(verdict) = intake.check(&record, Source::Message) else { return Taken::Hand(Arc::new(record)) };
        let place = format!("{}/{}/{}", header.tenant, header.plan, header.seq);
        self.worked.metrics.refused.inc();
        error!(subscription = %self.worked.name, event = %place, verdict = verdict.as_str(), "a message fails its seal: refused");
        match self.true_one(&record).await {
            Ok(Some(stored)) => Taken::Hand(Arc::new(stored)),
            Ok(None) => Taken::Term,
            Err(error) => {
                warn!(event = %place, %error, "the true event cannot be read now");
                Taken::Leave
            }
        }
    }

    /// The ledger's event at the place that a refused message claims.
    async fn true_one(&self, claimed: &Record) -> Result<Option<Record>, LedgerError> {
        let (ledger, header) = (self.worked.ledger(), &claimed.header);
        let Some(plan_no) = ledger.history().plan_no(&header.tenant, &header.plan).await? else { return Ok(None) };
        let stored = ledger.history().range(plan_no, header.seq, header.seq, 1).await?.pop();
        // One that fails its seal in the ledger too is left to replay, which says so.
        Ok(stored.filter(|stored| self.worked.process.intake.check(stored, Source::Ledger).is_ok()))
    }
}
