//! The log ([`start`]) and the metrics ([`metrics`]) of a process.

mod log;
pub mod metrics;
mod process;

pub use self::log::{ExtraLayer, FilterError, start};
