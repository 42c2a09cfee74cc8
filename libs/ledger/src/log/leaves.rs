//! The checks that an event passes before it gets its leaf: FORMAT, LINK, SUITE, `EVENT_HASH`, and its seq
//! (`docs/spec/integrity.md#log-append`). Pure.

use sealbus_core::event::{Header, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{Suite, check_shape};

use super::queue::{LastLeaves, Queued};

/// A plan that is not sealed further, because its next event is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedPlan {
    /// The number of the plan.
    pub plan_no: i64,
    /// The tenant; empty if the ledger lacks the event.
    pub tenant: String,
    /// The name of the plan; empty if the ledger lacks the event.
    pub plan: String,
    /// The seq of the wrong event, as it is stored.
    pub seq: i64,
    /// What is wrong with the event.
    pub reason: String,
}

pub(super) struct NewLeaf {
    pub queue_id: i64,
    pub index: i64,
    pub plan_no: i64,
    pub seq: i64,
    pub partition: i32,
    pub hash: Hash,
}

/// The leaves of a sealing transaction, as they are added.
pub(super) struct Batch<'a> {
    origin: &'a str,
    last: LastLeaves,
    pub leaves: Vec<NewLeaf>,
    pub stopped: Vec<StoppedPlan>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(origin: &'a str, last: LastLeaves) -> Self {
        Self { origin, last, leaves: Vec::new(), stopped: Vec::new() }
    }

    /// Gives a queued event its leaf, or stops its plan. Later events of a stopped plan are ignored.
    pub(super) fn take(&mut self, mut row: Queued) {
        let (plan_no, seq) = (row.plan_no, row.seq);
        if self.stopped.iter().any(|stopped| stopped.plan_no == plan_no) {
            return;
        }
        let event = row.event.as_ref();
        let (tenant, plan) = event.map(|event| (event.tenant.clone(), event.plan.clone())).unwrap_or_default();
        let (tenant, plan) = (tenant.unwrap_or_default(), plan.unwrap_or_default());
        match self.leaf(&mut row) {
            Ok((partition, record)) => {
                let (queue_id, index, hash) = (row.id, self.last.size, record.leaf_hash());
                self.leaves.push(NewLeaf { queue_id, index, plan_no, seq, partition, hash });
                self.last.size += 1;
            }
            Err(reason) => self.stopped.push(StoppedPlan { plan_no, tenant, plan, seq, reason }),
        }
    }

    /// Checks that the event is the next one of its plan, and makes it the last leaf of the plan.
    fn leaf(&mut self, row: &mut Queued) -> Result<(i32, Record), String> {
        let seq = row.seq;
        let last = self.last.plans.get_mut(&row.plan_no).ok_or("the plan is not in the ledger")?;
        let partition = last.partition.ok_or("the plan has no partition")?;
        let expected = last.leaf_seq.unwrap_or(0) + 1;
        if seq != expected {
            return Err(format!("the next leaf of the plan must have seq {expected}"));
        }
        let event = row.event.take().ok_or("the event is not in the ledger")?;
        let record = event.into_record(self.origin).map_err(|error| error.to_string())?;
        let header = &record.header;
        if u64::try_from(seq) != Ok(header.seq) {
            return Err(format!("the queued seq {seq} is not the seq of the event"));
        }
        header.validate().map_err(|error| format!("FORMAT: {error}"))?;
        let prev = match (&last.event, last.leaf_seq) {
            (Some((hash, _)), _) => *hash,
            (None, None) => Header::genesis(self.origin, &header.tenant, &header.plan),
            (None, Some(_)) => return Err("the event of the last leaf of the plan is not in the ledger".into()),
        };
        if header.prev != prev {
            return Err("LINK: prev is not the hash of the predecessor".into());
        }
        let suite = check_shape(&header.kid, &record.mac, &record.sig)
            .map_err(|verdict| format!("{verdict}: the seal does not have the form of the key's suite"))?;
        if suite == Suite::Hmac && last.event.as_ref().is_some_and(|(_, kid)| kid.suite() == Some(Suite::Ed25519)) {
            return Err("SUITE: an event with a MAC follows one with a signature".into());
        }
        if header.hash() != record.event_hash {
            return Err("EVENT_HASH: the header does not hash to event_hash".into());
        }
        if row.event_hash.as_deref().is_some_and(|queued| queued != record.event_hash.as_bytes()) {
            return Err("MISSING: the seal queue names another event".into());
        }
        last.leaf_seq = Some(seq);
        last.event = Some((record.event_hash, header.kid.clone()));
        Ok((partition, record))
    }
}
