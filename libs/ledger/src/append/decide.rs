//! The decision about each call of a batch, from the heads of the plans and the stored ids. Pure, except that it seals.

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

use super::call::{AppendError, Appended, Call, Expect};
use super::link::Linker;
use super::locks::{Head, OpenKeys, PlanState};

/// The events of the ids in the batch that are in use, by tenant and id: stored before, or appended by an earlier call of the
/// batch.
pub(super) type Known = HashMap<(String, Uuid), Arc<Record>>;

/// Decides about a call (`docs/spec/protocol.md#append-3`). A successful call moves the plan's head and adds to the known
/// ids; a refused one changes neither.
pub(super) fn decide(
    linker: &Linker,
    call: &Call,
    plan: &mut PlanState,
    known: &mut Known,
    open: &OpenKeys,
    now: Timestamp,
) -> Result<Vec<Appended>, AppendError> {
    let tenant = call.tenant.as_str();
    let mut stored_events = Vec::with_capacity(call.events.len());
    let mut erased_key = None;
    for draft in &call.events {
        let stored = known.get(&(tenant.to_owned(), draft.event_id)).cloned();
        if stored.as_ref().is_some_and(|record| !linker.same_request(call.plan.as_str(), draft, record)) {
            return Err(AppendError::IdConflict(draft.event_id));
        }
        if let (None, Some(under)) = (&stored, &draft.encrypted)
            && !open.contains(&(tenant.to_owned(), under.key_id))
        {
            erased_key = Some(under.key_id);
        }
        stored_events.push(stored);
    }
    if let Some(key_id) = erased_key {
        return Err(AppendError::DataKeyErased(key_id));
    }
    if stored_events.iter().any(Option::is_none) {
        check_head(call.expect, plan)?;
    }

    let mut next = plan.clone();
    let mut appended = Vec::with_capacity(stored_events.len());
    for (draft, stored) in call.events.iter().zip(stored_events) {
        let new = stored.is_none();
        let record = match stored {
            Some(record) => record,
            None => Arc::new(linker.link(&next, draft, now)?),
        };
        if new {
            next.head = Some(Head {
                seq: record.header.seq,
                hash: record.event_hash,
                kid: record.header.kid.clone(),
                recorded: record.header.recorded,
                v1: record.v1.clone(),
            });
        }
        appended.push(Appended { record, new });
    }
    plan.head = next.head;
    let new_records = appended.iter().filter(|appended| appended.new).map(|appended| &appended.record);
    known.extend(new_records.map(|record| ((tenant.to_owned(), record.header.event_id), record.clone())));
    Ok(appended)
}

fn check_head(expect: Expect, plan: &PlanState) -> Result<(), AppendError> {
    let head = plan.head.as_ref().map_or(0, |head| head.seq);
    let met = match expect {
        Expect::Any => true,
        Expect::Empty => head == 0,
        Expect::Head(seq) => head == seq,
    };
    if met { Ok(()) } else { Err(AppendError::HeadMismatch(head)) }
}
