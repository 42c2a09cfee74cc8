//! Creating the ledger.

use sealbus_ledger::{Creation, LedgerConfig};
use sealbus_runtime::settings::{Settings, table};
use uuid::Uuid;

use super::keyring;
use crate::failure::Failure;

/// Creates the ledger of `SEALBUS_ORIGIN` in `SEALBUS_DATABASE_URL`, whose schema has to be migrated. Does nothing if it
/// exists.
pub(crate) async fn create_ledger(settings: &Settings) -> Result<(), Failure> {
    let keyring = keyring(settings)?;
    let config = LedgerConfig::new(settings.require(table::DATABASE_URL)?.expose());
    let creation = Creation {
        origin: settings.require(table::ORIGIN)?,
        partitions: settings.get(table::PARTITIONS),
        first_event: Uuid::now_v7(),
        log_id: Uuid::new_v4(),
    };
    Ok(sealbus_ledger::create(&config, &creation, &keyring).await?)
}
