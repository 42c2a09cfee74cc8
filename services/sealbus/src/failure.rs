//! Failures of commands and roles: a message for a person, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::iter;

use sealbus_core::error_chain;
use sealbus_ledger::OpenError;
use sealbus_runtime::settings::table;

/// A failure that ends the process with an exit code other than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The message: what happened, to what, and what to do. Empty if nothing is to be said.
    pub message: String,
    /// The exit code: 1 if the command could not be carried out, 2 if it was used wrongly, or [`NO_READER`].
    pub code: u8,
}

/// The exit code if the reader of standard output has gone away: what a shell reports for a program that SIGPIPE ended. It is
/// not 0, because the output of `sealbus verify` that nobody read confirms nothing.
const NO_READER: u8 = 128 + 13;

impl Failure {
    /// Returns the failure of a command whose output has no reader any more. It ends without a message.
    pub(crate) fn no_reader() -> Self {
        Self { message: String::new(), code: NO_READER }
    }

    /// Returns a failure of a command that was used wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Returns a failure of a command that could not be carried out.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

/// Turning an error into a failure that says what could not be done.
pub(crate) trait Context<T> {
    /// Returns a failure with exit code 1 for an error. Its message is `what` and then the error with all its causes.
    fn context(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Error> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what}: {}", error_chain(&error))))
    }
}

/// The message is the error with all its causes, and the variables to look at. The exit code is 1.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let message = error_chain(&error);
        let variables = variables(&error);
        if variables.is_empty() {
            return Self::new(message);
        }
        Self::new(format!("{message} (see {})", variables.join(", ")))
    }
}

/// Returns the environment variables that an error of opening a ledger is about. The ledger itself knows no variables.
fn variables(error: &(dyn Error + 'static)) -> Vec<&'static str> {
    let mut chain = iter::successors(Some(error), |&error| error.source());
    match chain.find_map(|error| error.downcast_ref()) {
        Some(OpenError::Address(_)) => vec![table::DATABASE_URL.name(), table::OWNER_DATABASE_URL.name()],
        Some(OpenError::NotCreated) => {
            vec![table::OWNER_DATABASE_URL.name(), table::ORIGIN.name(), table::KEYRING.name()]
        }
        Some(OpenError::OtherOrigin { .. } | OpenError::BadOrigin(_)) => vec![table::ORIGIN.name()],
        Some(OpenError::Keyring(_)) => vec![table::KEYRING.name()],
        Some(OpenError::NoV1Key) => vec![table::V1_TENANTS.name(), table::KEYRING.name()],
        Some(OpenError::LockTable { .. }) => {
            vec![table::MAX_REPLICAS.name(), table::BATCHERS.name(), table::MAX_BATCH_PLANS.name()]
        }
        None
        | Some(OpenError::Encoding(_) | OpenError::Migration(_) | OpenError::FirstEvent(_) | OpenError::Ledger(_)) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_opening_the_ledger_names_the_variables_to_look_at() {
        let other = OpenError::OtherOrigin { stored: "bus.test/a".into(), configured: "bus.test/b".into() };
        let lock_table =
            OpenError::LockTable { replicas: 8, batchers: 2, batch_plans: 1_000, wanted: 16_000, available: 6_400 };
        for (error, end) in [
            (OpenError::NotCreated, "(see SEALBUS_OWNER_DATABASE_URL, SEALBUS_ORIGIN, SEALBUS_KEYRING)"),
            (other, "cannot be changed (see SEALBUS_ORIGIN)"),
            (OpenError::BadOrigin("a b".into()), "bus.example/eu-1 (see SEALBUS_ORIGIN)"),
            (OpenError::NoV1Key, "(see SEALBUS_V1_TENANTS, SEALBUS_KEYRING)"),
            (lock_table, "(see SEALBUS_MAX_REPLICAS, SEALBUS_BATCHERS, SEALBUS_MAX_BATCH_PLANS)"),
            (OpenError::Encoding("LATIN1".into()), "create the database with ENCODING 'UTF8'"),
        ] {
            let message = Failure::from(error).message;
            assert!(message.ends_with(end), "{message}");
        }
    }
}
