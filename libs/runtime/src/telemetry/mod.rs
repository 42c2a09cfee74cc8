//! What a process says of itself: its log ([`start`]) and its numbers ([`metrics`]).

mod log;
pub mod metrics;
mod process;

pub use self::log::{ExtraLayer, FilterError, start};
