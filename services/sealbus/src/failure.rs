//! Why a command ended badly, in a sentence, with its exit code.

use std::process::ExitCode;

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

    /// Prints it for a person.
    pub(crate) fn print(&self) {
        eprintln!("sealbus: {}", self.message);
    }

    /// The process' exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// An error with all its causes, each once, as one sentence.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self::new(message)
    }
}
