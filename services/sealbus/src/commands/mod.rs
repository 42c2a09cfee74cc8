//! The commands, one file each.
//!
//! - `api`: commands that call a publisher's API.
//! - `arguments`: arguments that several commands share.
//! - Every other module is a command that works on the ledger or on files.

pub(crate) mod api;
mod arguments;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod migrate;
pub(crate) mod trust;
pub(crate) mod verify;
