//! Reading: stored events and live streams.

pub(crate) mod reading;
pub(crate) mod streams;
