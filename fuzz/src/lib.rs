//! Fuzz targets of `sealbus-core`, one for each parser of untrusted bytes.
//!
//! Each target asserts the same: no panic, no overflow, and accepted input is written back byte for byte, so that no value
//! has two spellings. `make fuzz` runs them; `fuzz/run` documents how. `seeds/` contains one or two valid inputs for each
//! target, signed with keys that are used nowhere else.

use std::sync::LazyLock;

use sealbus_core::log::policy::Policy;

/// The origin of the log of the seeds.
pub const ORIGIN: &str = "bus.test/one";

/// A policy with the keys that signed the seeds.
pub static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(include_bytes!("../seeds/policy/log_and_witness")).expect("the seed is a policy"));
