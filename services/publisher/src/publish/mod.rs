//! Publishing: from a validated request to a stored record and its receipt.

mod conditions;
mod encryption;
mod hints;
mod keys;
mod publication;
mod publishing;
mod receipts;
mod returned;
mod seal_watch;
mod sealed;

pub(crate) use self::conditions::{Conditions, is_traceparent};
pub(crate) use self::encryption::Encryption;
pub use self::hints::BrokerLink;
pub(crate) use self::publication::Publication;
pub(crate) use self::publishing::{Published, Publishing};
pub(crate) use self::receipts::{Receipt, proof_of, proofs_of, receipt_text};
pub(crate) use self::returned::stored_before;
pub(crate) use self::seal_watch::SealWatch;
pub(crate) use self::sealed::SealWaiting;
