//! The first row of a ledger: which deployment it is, and the key that seals its first event.

use sealbus_core::event::is_origin;
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

use crate::append::{Draft, append_first};
use crate::commit::commit;
use crate::keys::allow_first;
use crate::ledger::{deployment, pool};
use crate::own_event::own_event;
use crate::{Deployment, LedgerConfig, LedgerError};

/// The lock under which migrations and creation happen: non-negative, as all but the plans' are. The letters "init".
const CREATION_LOCK: i64 = 0x696e_6974;

/// What a new ledger is to be.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The deployment's name, for good.
    pub origin: String,
    /// Partitions of plans, for good: a power of two up to 64.
    pub partitions: u32,
    /// The id of the ledger's first event: a UUIDv7 of the caller's.
    pub first_event: Uuid,
    /// The log's id: random.
    pub log_id: Uuid,
}

/// Creates the ledger: `deployment` and `_keys` seq 1 in one transaction. Does nothing where it exists.
///
/// The first event is `key.added` for the keyring's active key, sealed by that key; it is leaf 0 of the log.
///
/// # Errors
/// [`LedgerError::BadOrigin`] for a name that no seal can hold, [`LedgerError::OtherOrigin`] where the ledger exists under another name, [`LedgerError::Keyring`] where no key is active.
pub async fn create(config: &LedgerConfig, creation: &Creation, keyring: &Keyring) -> Result<(), LedgerError> {
    if !is_origin(&creation.origin) {
        return Err(LedgerError::BadOrigin(creation.origin.clone()));
    }
    let pool = pool(config)?;
    let mut transaction = pool.begin().await?;
    sqlx::query!("-- creation_lock\nSELECT pg_advisory_xact_lock($1) AS locked", CREATION_LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if let Some(Deployment { origin, .. }) = deployment(&mut transaction).await? {
        if origin != creation.origin {
            return Err(LedgerError::OtherOrigin { stored: origin, configured: creation.origin.clone() });
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
        i32::try_from(creation.partitions).unwrap_or_default(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let created = Deployment {
        generation: row.generation,
        origin: creation.origin.clone(),
        log_id: creation.log_id,
        partitions: creation.partitions,
    };
    let signer = keyring.signer().map_err(|error| LedgerError::Keyring(error.to_string()))?;
    let draft = first_key(creation, &signer);
    append_first(&mut transaction, &created, keyring, &draft, Timestamp::from_offset(row.now)).await?;
    allow_first(&mut transaction, signer.kid()).await?;
    commit(transaction).await?;
    pool.close().await;
    tracing::info!(origin = creation.origin, partitions = creation.partitions, "created the ledger");
    Ok(())
}

/// `key.added` for the active key, by itself.
fn first_key(creation: &Creation, signer: &Signer) -> Draft {
    let payload = signer.key_added(&creation.origin, signer.kid());
    let draft = own_event(&creation.origin, "key.added", "sealbus", payload);
    Draft { event_id: creation.first_event, ..draft }
}
