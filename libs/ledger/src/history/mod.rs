//! Reads of stored events.

pub mod export;
mod heads;
pub(crate) mod record;
pub mod trail;
