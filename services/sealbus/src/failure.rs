//! Failures of commands and roles: a message for a person, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use sealbus_core::error_chain;

/// Why the process ends with an exit code other than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, to what, and what to do.
    pub message: String,
    /// 1 if the command could not be carried out, 2 if it was used wrongly.
    code: u8,
}

impl Failure {
    /// Returns a failure of a command that was used wrongly, with exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Returns a failure of a command that could not be carried out, with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Returns a failure with exit code 1, whose message is `what` and then the error with all its causes.
    pub(crate) fn caused(what: impl Display, error: &dyn Error) -> Self {
        Self::new(format!("{what}: {}", error_chain(error)))
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// The message is the error with all its causes. The exit code is 1.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error_chain(&error))
    }
}
