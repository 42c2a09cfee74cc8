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

pub mod anchors;
pub mod bundle;
pub mod ledger;
pub mod newest;
pub mod pins;
pub mod receipts;
mod resume;
