//! `sealbus migrate`: migrates the ledger's schema, and creates the ledger if it does not exist.

use sealbus_ledger::EXPECTED_MIGRATION;
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

/// Migrates as the schema's owner, then creates the ledger as the writer. Running it again changes nothing.
pub(crate) async fn run() -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    sealbus_ledger::migrate(settings.require(table::OWNER_DATABASE_URL)?.expose()).await?;
    wiring::create_ledger(&settings).await?;
    print(format_args!("the ledger is at migration {EXPECTED_MIGRATION}"))?;
    Ok(())
}
