//! Periodic work on the ledger: the sweep finds events that the stream lost, the watch finds plans that are due for
//! replay.

pub(crate) mod due;
pub(crate) mod leaves;
pub(crate) mod walk;
