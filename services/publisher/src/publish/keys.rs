//! Idempotency keys: one key is for one request (`docs/spec/interface.md#publish-idempotency-key`).
//!
//! The ids of events that have none are made from the key, so that the ledger shows for which request a key was used: an event
//! of the same place with another content has the same id, and the request that is compared contains the number of events. What
//! the ids of a request do not show is looked up before the append: events of the same key from a request of another form.

use std::collections::HashSet;

use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::event_id;
use sealbus_core::names::Tenant;
use sealbus_core::request::{EventKey, EventRequest};
use sealbus_ledger::Ledger;
use uuid::Uuid;

use crate::http::Problem;
use crate::publish::publication::Publication;

/// Checks that the idempotency key of a call was not used for another request. If an event with an id made from the key is stored, the
/// other events of the call are too, and no event of the key from another request is.
///
/// Events that were stored before the number of events was stored with them are compared without it. A call without ids made
/// from a key makes no round trip.
///
/// # Errors
/// `idempotency_key_reused`, `ledger_unavailable`.
pub(super) async fn check_keys(
    ledger: &Ledger,
    tenant: &Tenant,
    publications: &mut [Publication],
) -> Result<(), Problem> {
    let keys: Vec<&EventKey> = publications.iter().filter_map(Publication::key_of_id).collect();
    let Some(first) = keys.first() else { return Ok(()) };
    let of_key: Vec<Uuid> = keys.iter().map(|key| key.event_id(tenant)).collect();
    let of_others: Vec<Uuid> = first.of_other_requests().iter().map(|key| key.event_id(tenant)).collect();
    let given = publications.iter().filter_map(|publication| {
        let EventRequest { id, source, .. } = &publication.request;
        let identity = event_id(tenant.as_str(), source.as_deref().unwrap_or_default(), id.as_deref()?);
        Some(identity.ok()?.id)
    });
    let given: Vec<Uuid> = given.collect();
    let history = ledger.history();
    let ids = [of_key.as_slice(), &of_others, &given].concat();
    let stored: HashSet<Uuid> = history.stored_ids(tenant.as_str(), &ids).await?.into_iter().collect();
    let is_stored = |id: &Uuid| stored.contains(id);
    if of_others.iter().any(is_stored) {
        return Err(key_reused().into());
    }
    if !of_key.iter().any(is_stored) {
        return Ok(());
    }
    if !of_key.iter().chain(&given).all(is_stored) {
        return Err(key_reused().into());
    }
    let event = history.event(tenant, of_key[0]).await?;
    if event.is_none_or(|event| event.sealbus_metadata("idempotency_events").is_null()) {
        for publication in publications {
            publication.key = publication.key.take().map(EventKey::without_events);
        }
    }
    Ok(())
}

/// Returns the refusal of a request whose idempotency key was used for another one.
pub(super) fn key_reused() -> Refused {
    let detail = "the idempotency key was already used for a different request";
    Refused::field(ErrorKind::IdempotencyKeyReused, "Idempotency-Key", "unique", detail)
}
