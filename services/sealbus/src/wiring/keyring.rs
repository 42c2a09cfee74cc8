//! The keyring and the catalog.

use std::sync::Arc;

use sealbus_core::catalog::Catalog;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_runtime::files::{load_catalog, load_keyring};
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;

/// Loads the keyring of `SEALBUS_KEYRING`.
pub(crate) fn keyring(settings: &Settings) -> Result<Keyring, Failure> {
    Ok(load_keyring(&settings.require(table::KEYRING)?)?)
}

/// Returns the active `log-` key of the keyring, which signs the checkpoints of this ledger's log.
pub(crate) fn log_signer(settings: &Settings, ledger: &Ledger) -> Result<LogSigner, Failure> {
    LogSigner::new(&keyring(settings)?, &ledger.deployment().origin).map_err(|error| {
        Failure::new(format!(
            "cannot sign checkpoints of the log: {error}; the keyring needs one active log- key with its secret"
        ))
    })
}

/// Loads the built-in catalog and the files of `SEALBUS_CATALOG`.
pub(crate) fn catalog(settings: &Settings) -> Result<Arc<Catalog>, Failure> {
    Ok(Arc::new(load_catalog(settings.find(table::CATALOG).as_deref())?))
}
