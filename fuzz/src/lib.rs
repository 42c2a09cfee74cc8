//! Fuzz targets of `sealbus-core`: every parser that reads what others wrote.
//!
//! Each holds its parser to the same: no panic, no overflow, and what is taken is written back byte for byte, so that nothing
//! has two spellings. `make fuzz` runs them; `fuzz/run` says how. `seeds/` holds a good input or two of each, signed with keys
//! that nobody else uses.

use std::sync::LazyLock;

use sealbus_core::log::policy::Policy;

/// The log that the seeds are of.
pub const ORIGIN: &str = "bus.test/one";

/// A policy that pins the keys which signed the seeds.
pub static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(include_bytes!("../seeds/policy/log_and_witness")).expect("the seed is a policy"));
