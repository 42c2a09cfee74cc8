//! Publishing: from a checked request to a stored record.

pub mod encrypting;
pub mod hints;
pub mod publishing;
pub mod seal_watch;
pub mod sealed;
