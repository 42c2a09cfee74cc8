//! The files that the settings name: the keyring, the catalog, the policy; and files that only their owner can read.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

use sealbus_core::catalog::Catalog;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::files::{load_catalog, load_keyring, private_file};
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::Witnesses;
use zeroize::Zeroizing;

use crate::failure::{Context as _, Failure};

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

pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    let file = fs::read(path).context(format_args!("policy {}", path.display()))?;
    Policy::parse(&file).context(format_args!("policy {}", path.display()))
}

/// Returns the witnesses of `SEALBUS_POLICY`, which cosign the log's checkpoints. Returns `None` if the variable is not set.
///
/// # Errors
/// The policy cannot be read, does not name this log's key, or its quorum cannot be reached.
pub(crate) fn witnesses(settings: &Settings, signer: &LogSigner) -> Result<Option<Witnesses>, Failure> {
    let Some(path) = settings.find(table::POLICY) else { return Ok(None) };
    let timeout = settings.get(table::WITNESS_TIMEOUT);
    let witnesses = Witnesses::new(policy(&path)?, &signer.verifier_key(), timeout, Arc::new(SystemClock));
    Ok(Some(witnesses.context(format_args!("the log cannot be sealed under the policy {}", path.display()))?))
}

/// Returns bytes of the operating system's random generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).context("the operating system provides no random bytes")?;
    Ok(bytes)
}

/// Creates a file with this text that only its owner can read, and waits until it is on the disk. Refuses a path that exists.
pub(crate) fn create_private_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private_file().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Removes a file, if it exists.
pub(crate) fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
