//! The processing of one plan: order, handler, retries.

pub(crate) mod actor;
pub(crate) mod dead_letter;
pub(crate) mod effect;
pub(crate) mod gather;
pub(crate) mod group;
pub(crate) mod order;
pub(crate) mod replay;
pub(crate) mod retries;
pub(crate) mod slots;
pub(crate) mod trying;
