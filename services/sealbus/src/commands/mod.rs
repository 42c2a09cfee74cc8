//! What an operator types, a file for each command.

pub(crate) mod catalog;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod dead_letters;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod migrate;
mod names;
pub(crate) mod publish;
pub(crate) mod scope;
pub(crate) mod tail;
pub(crate) mod trail;
pub(crate) mod trust;
pub(crate) mod verify;
