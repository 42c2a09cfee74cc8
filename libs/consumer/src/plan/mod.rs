//! The processing of one plan's events: order, handler, retries, replay.

pub(crate) mod actor;
pub(crate) mod effect;
pub(crate) mod gather;
pub(crate) mod group;
pub(crate) mod message;
pub(crate) mod order;
pub(crate) mod process;
pub(crate) mod retries;
pub(crate) mod slots;
pub(crate) mod task;
