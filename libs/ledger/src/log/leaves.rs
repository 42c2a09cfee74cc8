//! The checks that an event passes before it gets its leaf: FORMAT, LINK, SUITE, `EVENT_HASH`, and its place in its plan.

use sealbus_core::event::{Header, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{Suite, check_shape};

use super::queue::{LastLeaves, Queued};
use crate::history::record::RecordRow;
use crate::history::trail::signed;

/// A plan that is not sealed further until somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedPlan {
    /// Its number.
    pub plan_no: i64,
    /// Its tenant, where known.
    pub tenant: String,
    /// Its name, where known.
    pub plan: String,
    /// The event that could not be taken.
    pub seq: i64,
    /// What is wrong with it.
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

/// Leaves in the making.
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

    pub(super) fn take(&mut self, row: Queued) {
        if self.stopped.iter().any(|stopped| stopped.plan_no == row.plan_no) {
            return;
        }
        let (tenant, plan) =
            row.event.as_ref().map_or_else(Default::default, |event| (event.tenant.clone(), event.plan.clone()));
        match self.leaf(row.plan_no, row.seq, row.event_hash.as_deref(), row.event) {
            Ok((partition, record)) => {
                self.leaves.push(NewLeaf {
                    queue_id: row.id,
                    index: self.last.size,
                    plan_no: row.plan_no,
                    seq: row.seq,
                    partition,
                    hash: record.leaf_hash(),
                });
                self.last.size += 1;
            }
            Err(reason) => self.stopped.push(StoppedPlan { plan_no: row.plan_no, tenant, plan, seq: row.seq, reason }),
        }
    }

    /// Checks that the event is its plan's next and moves the plan's last leaf.
    fn leaf(
        &mut self,
        plan_no: i64,
        seq: i64,
        queued: Option<&[u8]>,
        event: Option<RecordRow>,
    ) -> Result<(i32, Record), String> {
        let Some(last) = self.last.plans.get_mut(&plan_no) else { return Err("its plan is not in the ledger".into()) };
        let expected = last.leaf_seq.unwrap_or(0) + 1;
        if seq != expected {
            return Err(format!("the plan's next leaf is of seq {expected}"));
        }
        let event = event.ok_or("the event is not in the ledger")?;
        let record = event.into_record(self.origin).map_err(|error| error.to_string())?;
        let header = &record.header;
        if header.seq != u64::try_from(seq).unwrap_or_default() || signed(header.seq) != seq {
            return Err("seq is out of range".into());
        }
        header.validate().map_err(|error| format!("FORMAT: {error}"))?;
        let prev = match (&last.event, last.leaf_seq) {
            (Some((_, hash, _)), _) => *hash,
            (None, None) => Header::genesis(self.origin, &header.tenant, &header.plan),
            (None, Some(_)) => return Err("the event of the plan's last leaf is not in the ledger".into()),
        };
        if header.prev != prev {
            return Err("LINK: prev is not the event before".into());
        }
        let suite = check_shape(&header.kid, &record.mac, &record.sig)
            .map_err(|verdict| format!("{verdict}: the seal is not of the key's suite"))?;
        if suite == Suite::Hmac && last.event.as_ref().is_some_and(|(_, _, kid)| kid.suite() == Some(Suite::Ed25519)) {
            return Err("SUITE: a MAC after a signature".into());
        }
        if header.hash() != record.event_hash {
            return Err("EVENT_HASH: the header does not hash to it".into());
        }
        if queued.is_some_and(|queued| queued != record.event_hash.as_bytes()) {
            return Err("MISSING: another event was appended here".into());
        }
        last.leaf_seq = Some(seq);
        last.event = Some((seq, record.event_hash, header.kid.clone()));
        Ok((last.partition, record))
    }
}
