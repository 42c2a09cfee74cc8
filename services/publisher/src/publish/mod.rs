//! Publishing: from a checked request to a stored record.

pub(crate) mod encrypting;
pub(crate) mod hints;
pub(crate) mod publishing;
pub(crate) mod seal_watch;
pub(crate) mod sealed;
