//! Periodic work that finds what the stream lost, and which parked plans are due.

pub(crate) mod due;
pub(crate) mod walk;
