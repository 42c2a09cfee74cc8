//! The commands, one file each. Those in `api` call a publisher's API; the others work on the ledger or on files.

pub(crate) mod api;
mod arguments;
mod blocked;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod failover;
pub(crate) mod forks;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod migrate;
pub(crate) mod trust;
pub(crate) mod verify;
