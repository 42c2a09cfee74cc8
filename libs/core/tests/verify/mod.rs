//! Verification: what is found, and that nothing else is.

mod bundle_records;
mod chain;
mod checked_log;
mod golden_bundles;
mod resume;
mod second_implementation;
mod tampering;
mod trust;
mod vectors;
