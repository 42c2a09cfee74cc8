//! Evidence: verifying a ledger or a bundle, and writing bundles. The rules of verification are in `sealbus_core::verify`
//! (docs/spec/integrity.md#verify-first); this module supplies what they check.
//!
//! - `pins`: what a verifier pins: origin, keys, policy.
//! - `anchors`: reading the checkpoints that are kept outside the database.
//! - `ledger`: verifying a ledger from its tables, against its log and its anchors.
//! - `newest`: the newest checkpoint, and proofs against it.
//! - `resume`: the progress of an interrupted verification.
//! - `bundle`: writing and verifying bundles.
//! - `receipts`: reading receipts.

pub(crate) mod anchors;
pub(crate) mod bundle;
pub(crate) mod ledger;
pub(crate) mod newest;
pub(crate) mod pins;
mod receipts;
mod resume;
