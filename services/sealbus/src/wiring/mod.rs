//! The resources that roles, commands and benchmarks share, built from the settings, and the operations that create a
//! ledger and initialise its log.
//!
//! `roles`, `commands`, `dev`, `evidence` and `bench` use this module; it uses none of them.
//!
//! | file | content |
//! |---|---|
//! | `ledger` | creating and opening the ledger, with the check of the origin; waiting for its database |
//! | `begin_log` | initialising the log |
//! | `appender` | an appender that is deregistered when its work ends |
//! | `broker` | the broker, the streams, the anchors |
//! | `files` | the keyring, the log's signing key, the catalog, the tlog-policy and its witnesses |
//! | `connections` | the connections, probes, metrics and tasks of a role |
//! | `secrets` | random bytes for new keys, files that only their owner can read |

mod appender;
mod begin_log;
mod broker;
mod connections;
mod files;
mod ledger;
mod secrets;

pub(crate) use self::appender::{append_settings, with_appender};
pub(crate) use self::begin_log::begin_log;
pub(crate) use self::broker::{anchors, topology, wait_for_broker};
pub(crate) use self::connections::{Connections, serve_admin, supervisor};
pub(crate) use self::files::{catalog, keyring, log_signer, policy, witnesses};
pub(crate) use self::ledger::{create_ledger, open_ledger, open_ledger_with, wait_for_ledger};
pub(crate) use self::secrets::{create_private_file, random_bytes, remove_if_exists};
