//! Names that an operator gives, and the operator's own: checked before anything is asked of the ledger, since a wrong one is a wrong question.

use sealbus_core::names::Tenant;
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;

/// The tenant that a command is told, else that of `SEALBUS_TENANT`, Sealbus' own too.
pub(super) fn tenant(given: Option<Tenant>, settings: &Settings) -> Result<Option<Tenant>, Failure> {
    match (given, settings.find(table::TENANT)) {
        (Some(given), _) => Ok(Some(given)),
        (None, None) => Ok(None),
        (None, Some(name)) => Tenant::parse_any(&name)
            .map(Some)
            .map_err(|error| Failure::usage(format!("{}: {error}", table::TENANT.name()))),
    }
}

/// Who an operator says to be, else the user of this shell.
pub(super) fn actor(given: Option<String>) -> String {
    given.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "operator".to_owned())
}
