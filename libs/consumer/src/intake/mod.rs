//! Messages from the broker: pulled, and checked against their seals.

pub(crate) mod pull;
pub(crate) mod seals;
