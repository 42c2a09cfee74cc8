//! The resources that roles, commands and benchmarks share, built from the settings, and the operations that create a
//! ledger and initialise its log.
//!
//! `roles`, `commands`, `dev`, `evidence` and `bench` use this module; it uses none of them.

mod begin_log;
mod broker;
mod connections;
mod files;
mod ledger;
mod ledger_metrics;

pub(crate) use self::begin_log::begin_log;
pub(crate) use self::broker::{anchors, topology, wait_for_broker};
pub(crate) use self::connections::{Connections, supervisor, until_ready};
pub(crate) use self::files::{
    catalog, create_private_file, keyring, log_signer, policy, random_bytes, remove_if_exists, witnesses,
};
pub(crate) use self::ledger::{
    append_settings, connections, create_ledger, open_ledger, open_ledger_to_verify, wait_for_ledger, with_appender,
};
pub(crate) use self::ledger_metrics::register_connections;
