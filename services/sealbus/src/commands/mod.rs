//! What an operator types, a file for each command.

pub mod catalog;
pub mod config;
pub mod connection;
pub mod dead_letters;
pub mod erase;
pub mod export;
pub mod import;
pub mod inspect;
pub mod keys;
pub mod log;
pub mod migrate;
mod names;
pub mod publish;
pub mod scope;
pub mod tail;
pub mod trail;
pub mod trust;
pub mod verify;
