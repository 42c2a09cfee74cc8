//! Reading: stored events, live streams and verification.

pub(crate) mod reading;
pub(crate) mod streams;
pub(crate) mod verification;
