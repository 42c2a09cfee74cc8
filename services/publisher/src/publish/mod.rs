//! Publishing: from a validated request to a stored record and its receipt.

pub(crate) mod conditions;
pub(crate) mod encryption;
pub(crate) mod hints;
pub(crate) mod publishing;
pub(crate) mod seal_watch;
pub(crate) mod sealed;
