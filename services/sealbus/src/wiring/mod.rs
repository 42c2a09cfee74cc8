//! The resources that roles, commands and benchmarks share, built from the settings, and the operations that create a
//! ledger and initialise its log.
//!
//! `roles`, `commands`, `dev`, `evidence` and `bench` use this module; it uses none of them.
//!
//! | file | content |
//! |---|---|
//! | `ledger` | opening the ledger, with the check of the origin; waiting for its database |
//! | `create` | creating the ledger |
//! | `begin_log` | initialising the log |
//! | `appender` | an appender that is deregistered when its work ends |
//! | `broker` | the broker, the streams, the anchors |
//! | `keyring` | the keyring, the log's signing key, the catalog |
//! | `policy` | the tlog-policy, and the witnesses that it names |
//! | `connections` | the connections, tasks and probes of a role between ledger and broker |
//! | `health` | probes, metrics, the supervisor |
//! | `secrets` | random bytes for new keys, files that only their owner can read |

mod appender;
mod begin_log;
mod broker;
mod connections;
mod create;
mod health;
mod keyring;
mod ledger;
mod policy;
mod secrets;

use sealbus_runtime::settings::Size;

pub(crate) use self::appender::{append_settings, with_appender};
pub(crate) use self::begin_log::begin_log;
pub(crate) use self::broker::{anchors, topology, wait_for_broker};
pub(crate) use self::connections::Connections;
pub(crate) use self::create::create_ledger;
pub(crate) use self::health::{serve_admin, supervisor};
pub(crate) use self::keyring::{catalog, keyring, log_signer};
pub(crate) use self::ledger::{open_ledger, open_ledger_with, wait_for_ledger};
pub(crate) use self::policy::{policy, witnesses};
pub(crate) use self::secrets::{create_private_file, random_bytes};
use crate::failure::Failure;

/// Returns a size as the length of a buffer in memory.
///
/// # Errors
/// The size is larger than the address space of this platform.
pub(crate) fn buffer_size(size: Size) -> Result<usize, Failure> {
    let bytes = size.bytes();
    usize::try_from(bytes).map_err(|_| Failure::usage(format!("{bytes} bytes are more than this platform can address")))
}

/// Returns a name for the owner of leases that no other process has or had.
pub(crate) fn lease_owner(role: &str) -> String {
    format!("{role}-{}", uuid::Uuid::new_v4().simple())
}
