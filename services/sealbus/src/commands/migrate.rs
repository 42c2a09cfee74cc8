//! `sealbus migrate`: brings the schema to this version, and creates the ledger if there is none.

use std::process::ExitCode;

use sealbus_ledger::{Creation, EXPECTED_MIGRATION, LedgerConfig};
use sealbus_runtime::files::load_keyring;
use sealbus_runtime::settings::{Settings, table};
use uuid::Uuid;

use crate::failure::Failure;

/// Migrates as the owner, then creates as the writer; doing either twice changes nothing.
pub(crate) async fn run() -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    sealbus_ledger::migrate(settings.require(table::OWNER_DATABASE_URL)?.expose()).await?;
    create(&settings).await?;
    println!("the ledger is at migration {EXPECTED_MIGRATION}");
    Ok(ExitCode::SUCCESS)
}

/// Creates the ledger where it is not there yet.
pub(crate) async fn create(settings: &Settings) -> Result<(), Failure> {
    let keyring = load_keyring(&settings.require(table::KEYRING)?)?;
    let config = LedgerConfig::new(settings.require(table::DATABASE_URL)?.expose());
    let creation = Creation {
        origin: settings.require(table::ORIGIN)?,
        partitions: settings.get(table::PARTITIONS),
        first_event: Uuid::now_v7(),
        log_id: Uuid::new_v4(),
    };
    Ok(sealbus_ledger::create(&config, &creation, &keyring).await?)
}
