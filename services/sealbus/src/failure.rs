//! Why a command ended badly, in a sentence, with its exit code.

use std::process::ExitCode;

use sealbus_core::error_chain;

/// What ends the process with something else than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, to what, and what to do.
    pub message: String,
    /// 1 for what could not be done, 2 for what was asked wrongly.
    pub code: u8,
}

impl Failure {
    /// Something asked wrongly: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Something that could not be done: exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// An error that something could not be done because of, with all its causes.
    pub(crate) fn caused(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {}", error_chain(error)))
    }

    /// Prints it for a person.
    pub(crate) fn print(&self) {
        eprintln!("sealbus: {}", self.message);
    }

    /// The process' exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// The message is the error with all its causes.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error_chain(&error))
    }
}
