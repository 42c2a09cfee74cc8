//! Reading: stored events and live streams.

pub mod reading;
pub mod streams;
