//! The tlog-policy of `SEALBUS_POLICY`.

use std::path::Path;
use std::sync::Arc;

use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::LogSigner;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::Witnesses;

use crate::failure::Failure;

/// Reads a policy file.
pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    let unusable = |error: &dyn std::error::Error| Failure::caused(format_args!("policy {}", path.display()), error);
    let file = std::fs::read(path).map_err(|error| unusable(&error))?;
    Policy::parse(&file).map_err(|error| unusable(&error))
}

/// Returns the witnesses of `SEALBUS_POLICY`, which cosign the log's checkpoints. Returns `None`
/// if the variable is not set.
///
/// # Errors
/// The policy cannot be read, does not name this log's key, or its quorum cannot be reached.
pub(crate) fn witnesses(settings: &Settings, signer: &LogSigner) -> Result<Option<Witnesses>, Failure> {
    let Some(path) = settings.find(table::POLICY) else { return Ok(None) };
    let timeout = settings.get(table::WITNESS_TIMEOUT);
    let witnesses = Witnesses::new(policy(&path)?, &signer.verifier_key(), timeout, Arc::new(SystemClock));
    let witnesses = witnesses.map_err(|error| {
        Failure::caused(format_args!("the log cannot be sealed under the policy {}", path.display()), &error)
    })?;
    Ok(Some(witnesses))
}
