//! Evidence: verifying a ledger or a bundle, and making bundles. The rules are `sealbus_core::verify`'s; here is what they are
//! fed with.
//!
//! - `pins`: what a verifier pins: origin, keys, policy.
//! - `anchors`: all checkpoints that are kept out of the database's reach.
//! - `ledger`: a ledger, straight from its tables, compared with its log and its anchors.
//! - `newest`: the newest checkpoint, and proofs against it.
//! - `resume`: a verification that is interrupted and goes on.
//! - `bundle`: an exported log, or some plans of it, written and verified.
//! - `receipts`: records that publishers were handed.

pub(crate) mod anchors;
pub(crate) mod bundle;
pub(crate) mod ledger;
pub(crate) mod newest;
pub(crate) mod pins;
pub(crate) mod receipts;
mod resume;
