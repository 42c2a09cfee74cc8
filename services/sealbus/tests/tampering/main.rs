//! Every row of the tampering table (docs/spec/integrity.md#tampering-table) except row 33. A test makes the change of the row
//! with its number, as a database superuser or in files, and expects exactly the verdict of that row from `sealbus verify`.
//!
//! `options` tests the options of `verify` and `inspect`, `bundles` exported bundles, and `damaged` bundles with random damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundles;
mod damaged;
mod events;
mod keys;
mod log;
mod options;
mod payloads;
mod plans;
mod restored;
mod rows;
mod scene;
