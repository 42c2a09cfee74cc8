//! Creation of a ledger: the row of table `deployment`, and the first event.

use sealbus_core::event::is_origin;
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::append::{Draft, append_first};
use crate::commit::commit;
use crate::connections::connect;
use crate::keys::allow_first;
use crate::ledger::deployment;
use crate::own_event::own_event;
use crate::pg::Column;
use crate::{Deployment, OpenError};

/// The advisory lock of the creation, which spells "init". Like all locks except those of plans it is not negative.
const CREATION_LOCK: i64 = 0x696e_6974;

/// The identity of a new ledger.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The name of the deployment. It can never be changed.
    pub origin: String,
    /// The number of partitions of plans: a power of two from 1 to 64. It can never be changed.
    pub partitions: u32,
    /// The id of the first event: a new UUIDv7.
    pub first_event: Uuid,
    /// The id of the log: a random UUID.
    pub log_id: Uuid,
}

/// Creates the ledger of the database at `url` in one transaction, unless it exists (`docs/spec/protocol.md#tables-creation`).
///
/// The first event is `key.added` for the active key of the keyring, in plan `_keys`, sealed by that key. It becomes leaf 0 of the
/// log.
///
/// # Errors
/// [`OpenError::BadOrigin`] if the origin is not valid, [`OpenError::OtherOrigin`] if the ledger exists with another origin,
/// [`OpenError::Keyring`] if the keyring has no usable active key.
pub async fn create(url: &str, creation: &Creation, keyring: &Keyring) -> Result<(), OpenError> {
    if !is_origin(&creation.origin) {
        return Err(OpenError::BadOrigin(creation.origin.clone()));
    }
    let mut connection = connect(url).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("-- creation_lock\nSELECT pg_advisory_xact_lock($1) AS locked", CREATION_LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if let Some(Deployment { origin, .. }) = deployment(&mut *transaction).await? {
        if origin != creation.origin {
            return Err(OpenError::OtherOrigin { stored: origin, configured: creation.origin.clone() });
        }
        return Ok(());
    }
    let row = sqlx::query!(
        r#"-- create
        INSERT INTO sealbus.deployment (origin, log_id, partitions, system_identifier, timeline)
        SELECT $1, $2, $3, system_identifier::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()
        RETURNING generation, clock_timestamp() AS "now!""#,
        creation.origin,
        creation.log_id,
        Column::new("deployment", "partitions").integer(creation.partitions)?,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let Creation { origin, log_id, partitions, .. } = creation.clone();
    let created = Deployment { generation: row.generation, origin, log_id, partitions };
    let signer = keyring.signer().map_err(OpenError::Keyring)?;
    let payload = signer.key_added(&creation.origin, signer.kid());
    let added = own_event(&creation.origin, "key.added", "sealbus", payload);
    let draft = Draft { event_id: creation.first_event, ..added };
    append_first(&mut transaction, &created, keyring, &draft, Timestamp::from_offset(row.now)).await?;
    allow_first(&mut *transaction, signer.kid()).await?;
    commit(transaction).await?;
    connection.close().await?;
    tracing::info!(origin = creation.origin, partitions = creation.partitions, "ledger created");
    Ok(())
}
