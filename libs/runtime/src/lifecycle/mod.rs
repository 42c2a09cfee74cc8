//! How a process lives and ends.
//!
//! It ends when it is told to ([`shutdown_on_signals`]) or when one of its tasks does ([`Supervisor`]), and in both cases
//! in the same order: stop intake, drain, close, health last.

mod signals;
mod supervisor;

pub use self::signals::shutdown_on_signals;
pub use self::supervisor::{Stage, Supervisor, TaskError};
