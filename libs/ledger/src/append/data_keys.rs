//! Locks on the data keys of a batch, so that none of them is erased while the batch is appended.

use sqlx::PgConnection;
use uuid::Uuid;

use super::decide::OpenKeys;
use super::queue::Waiting;
use crate::LedgerError;

/// Locks the rows of the batch's data keys until the transaction ends, and returns the keys that exist and are not closed.
///
/// An erasure waits for the append, or the append finds the key closed. So no event is acknowledged that nobody can ever
/// read. The rows are locked in the order of the keys, as an erasure locks them, so that neither deadlocks. A batch without
/// encrypted events makes no round trip (`docs/spec/protocol.md#append-data-keys`).
pub(super) async fn lock_open_keys(connection: &mut PgConnection, calls: &[Waiting]) -> Result<OpenKeys, LedgerError> {
    let mut names: Vec<(&str, Uuid)> = Vec::new();
    for Waiting { call, .. } in calls {
        let ids = call.events.iter().filter_map(|draft| draft.encrypted.as_ref()).map(|under| under.key_id);
        names.extend(ids.map(|key_id| (call.tenant.as_str(), key_id)));
    }
    if names.is_empty() {
        return Ok(OpenKeys::new());
    }
    names.sort_unstable();
    names.dedup();
    let rows = sqlx::query!(
        "-- share_data_keys
        SELECT k.tenant, k.key_id FROM sealbus.data_keys k
        WHERE (k.tenant, k.key_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[])) AND NOT k.closed
        ORDER BY k.tenant, k.key_id FOR SHARE OF k",
        &names.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>() as &[&str],
        &names.iter().map(|(_, key_id)| *key_id).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant, row.key_id)).collect())
}
