//! Running and stopping the tasks of a process.
//!
//! A process stops on a signal ([`shutdown_on_signals`]) or when one of its tasks ends ([`Supervisor`]). In both cases its tasks
//! are stopped in the same order: intake, drain, close, and health last.

mod signals;
mod supervisor;

pub use self::signals::shutdown_on_signals;
pub use self::supervisor::{Stage, Supervisor, TaskError};
