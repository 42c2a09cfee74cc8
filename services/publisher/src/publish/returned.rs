//! CloudEvents that the bus has shown and that are published again (`docs/spec/interface.md#cloudevents-again`).
//!
//! The bus adds to an event what its producer left out, such as the time and the source. A request with these attributes differs from
//! the one that was stored, so it is compared with the stored event as it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealbus_core::cloudevents::{Incoming, Mode, shown_again, without_receipt};
use sealbus_core::event::event_id;
use sealbus_core::names::Tenant;
use sealbus_ledger::Ledger;
use uuid::Uuid;

use crate::auth::Token;
use crate::http::{AnswerMemory, EventFormat, Problem, page_bytes};
use crate::publish::Published;
use crate::read::Reading;

/// Returns the stored event for each event that is, attribute by attribute, a stored event of the tenant as this client may see it.
/// Events without the attribute `sequence`, which every shown event has, make no round trip.
///
/// # Errors
/// `ledger_unavailable`, or `overloaded` if there is no memory for the stored events.
pub(crate) async fn stored_before(
    ledger: &Ledger,
    reading: &Reading,
    answers: &AnswerMemory,
    token: &Token,
    tenant: &Tenant,
    events: impl IntoIterator<Item = &Incoming>,
    mode: Mode,
) -> Result<Vec<Option<Published>>, Problem> {
    let origin = &ledger.deployment().origin;
    let events: Vec<&Incoming> = events.into_iter().collect();
    let mut places: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        for id in ids_if_shown(event, tenant, origin) {
            places.entry(id).or_default().push(place);
        }
    }
    let mut found: Vec<Option<Published>> = events.iter().map(|_| None).collect();
    let mut ids: Vec<Uuid> = places.keys().copied().collect();
    let mut _memory = None;
    if !ids.is_empty() {
        _memory = Some(answers.reserve(&token.name, page_bytes(ids.len(), EventFormat::Native)).await?);
    }
    while !ids.is_empty() {
        let records: Vec<_> = ledger.history().events(tenant, &ids).await?.into_iter().map(Arc::new).collect();
        let Some(last) = records.last().map(|record| record.header.event_id) else { break };
        ids.retain(|id| *id > last);
        let views = reading.views(token, records.iter().cloned()).await?;
        for (stored, view) in records.into_iter().zip(views) {
            let shown = shown_again(&view, mode);
            for &place in places.get(&stored.header.event_id).into_iter().flatten() {
                if shown.as_ref() == Some(&*without_receipt(events[place])) {
                    let (stored, view) = (Arc::clone(&stored), view.clone());
                    found[place] = Some(Published { stored, view, new: false, receipt: None });
                }
            }
        }
    }
    Ok(found)
}

/// Returns the ids that an event can have in the ledger if it is one that the bus has shown: an event without a source is shown with
/// the origin as source.
fn ids_if_shown(event: &Incoming, tenant: &Tenant, origin: &str) -> Vec<Uuid> {
    let request = &event.request;
    let is_shown = request.metadata.as_ref().is_some_and(|metadata| metadata.node().member("sequence").is_some());
    let Some(id) = request.id.as_deref().filter(|_| is_shown) else { return Vec::new() };
    let source = request.source.as_deref().unwrap_or_default();
    let sources = [Some(source), (source == origin).then_some("")];
    let ids = sources.into_iter().flatten().filter_map(|source| event_id(tenant.as_str(), source, id).ok());
    ids.map(|identity| identity.id).collect()
}
