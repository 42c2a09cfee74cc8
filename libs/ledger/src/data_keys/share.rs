//! How an append makes sure that none of its data keys is being erased.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::LedgerError;

/// Locks the rows of these keys, tenant and key id, against being closed or deleted before the transaction ends, and gives
/// those that are there and open. An erasure waits for the append, or the append finds its key closed: no event is
/// acknowledged that cannot be read from birth.
///
/// In the order of the keys, as an erasure takes them, so that neither deadlocks.
pub(crate) async fn share(
    connection: &mut PgConnection,
    names: &[(&str, Uuid)],
) -> Result<HashSet<(String, Uuid)>, LedgerError> {
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
