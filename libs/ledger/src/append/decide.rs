//! What becomes of each call of a batch, given its plan's head and the ids that are known. Pure but for the key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

use super::call::{AppendError, Appended, Call, Expect};
use super::link::Linker;
use super::locks::{Head, PlanState};

/// The ids of the batch that are taken: stored before it, or by one of its earlier calls.
pub(super) type Known = HashMap<(String, Uuid), Arc<Record>>;

/// The data keys of the batch that are open, and stay so until its commit: tenant and key id.
pub(super) type OpenKeys = HashSet<(String, Uuid)>;

/// Decides a call and moves the plan's head and the known ids accordingly; a refused call moves neither.
pub(super) fn decide(
    linker: &Linker,
    call: &Call,
    plan: &mut PlanState,
    known: &mut Known,
    open: &OpenKeys,
    now: Timestamp,
) -> Result<Vec<Appended>, AppendError> {
    let tenant = call.tenant.as_str();
    let mut answers = Vec::with_capacity(call.events.len());
    let (mut fresh, mut gone) = (false, None);
    for draft in &call.events {
        let stored = known.get(&(tenant.to_owned(), draft.event_id)).cloned();
        if let Some(record) = &stored
            && !linker.same_request(call.plan.as_str(), draft, record)
        {
            return Err(AppendError::IdConflict { event_id: draft.event_id });
        }
        if stored.is_none()
            && let Some(under) = &draft.encrypted
            && !open.contains(&(tenant.to_owned(), under.key_id))
        {
            gone = Some(under.key_id);
        }
        fresh |= stored.is_none();
        answers.push(stored);
    }
    if let Some(key_id) = gone {
        return Err(AppendError::DataKeyErased { key_id });
    }
    if fresh {
        check_head(call.expect, plan)?;
    }

    let mut next = plan.clone();
    let mut appended = Vec::with_capacity(answers.len());
    for (draft, stored) in call.events.iter().zip(answers) {
        if let Some(record) = stored {
            appended.push(Appended { record, new: false });
        } else {
            let record = Arc::new(linker.link(&next, draft, now)?);
            next.head = Some(head_of(&record));
            appended.push(Appended { record, new: true });
        }
    }
    plan.head = next.head;
    for Appended { record, .. } in appended.iter().filter(|appended| appended.new) {
        known.insert((tenant.to_owned(), record.header.event_id), record.clone());
    }
    Ok(appended)
}

fn check_head(expect: Expect, plan: &PlanState) -> Result<(), AppendError> {
    let head = plan.head.as_ref().map_or(0, |head| head.seq);
    let met = match expect {
        Expect::Any => true,
        Expect::Empty => head == 0,
        Expect::Head(seq) => head == seq,
    };
    if met { Ok(()) } else { Err(AppendError::HeadMismatch { head }) }
}

fn head_of(record: &Record) -> Head {
    Head {
        seq: record.header.seq,
        hash: record.event_hash,
        kid: record.header.kid.clone(),
        recorded: record.header.recorded,
        v1: record.v1.clone(),
    }
}
