//! CloudEvents that the bus has shown and that are published again (`docs/spec/interface.md#cloudevents-again`).
//!
//! The bus adds to an event what its producer left out, such as the time and the source. A request with these attributes differs from
//! the one that was stored, so it is compared with the stored event as it is shown.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_core::cloudevents::{Incoming, Mode, shown_again};
use sealbus_core::event::event_id;
use sealbus_core::names::Tenant;
use sealbus_ledger::Ledger;
use uuid::Uuid;

use crate::auth::Token;
use crate::http::Problem;
use crate::publish::Published;
use crate::read::Reading;

/// Returns the stored event for each event that is, attribute by attribute, a stored event of the tenant as this client may see it.
/// Events without the attribute `sequence`, which every shown event has, make no round trip.
///
/// # Errors
/// `ledger_unavailable`.
pub(crate) async fn stored_before(
    ledger: &Ledger,
    reading: &Reading,
    token: &Token,
    tenant: &Tenant,
    events: impl IntoIterator<Item = &Incoming>,
    mode: Mode,
) -> Result<Vec<Option<Published>>, Problem> {
    let origin = &ledger.deployment().origin;
    let events: Vec<(&Incoming, Vec<Uuid>)> =
        events.into_iter().map(|event| (event, ids_if_shown(event, tenant, origin))).collect();
    let ids: Vec<Uuid> = events.iter().flat_map(|(_, ids)| ids).copied().collect();
    let mut stored = HashSet::new();
    if !ids.is_empty() {
        stored.extend(ledger.history().stored_ids(tenant.as_str(), &ids).await?);
    }
    let mut found = Vec::with_capacity(events.len());
    for (event, ids) in events {
        let mut same = None;
        for id in ids.into_iter().filter(|id| stored.contains(id)) {
            let Some(record) = ledger.history().event(tenant, id).await? else { continue };
            let view = reading.view(token, record.clone()).await?;
            if shown_again(&view, mode).as_ref() == Some(event) {
                same = Some(Published { stored: Arc::new(record), view, new: false, receipt: None });
            }
        }
        found.push(same);
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
