//! The errors of the runtime.

use sealbus_ledger::LedgerError;
use tokio::task::JoinError;

/// Reasons why the runtime ended before its shutdown was requested.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The database refused to create a subscription.
    #[error("subscription {subscription} cannot be created")]
    Subscribe {
        /// The subscription.
        subscription: String,
        /// The error of the ledger.
        #[source]
        source: LedgerError,
    },
    /// Two subscriptions have one name.
    #[error("subscription {0} is declared twice")]
    DuplicateName(String),
    /// The task that renews the leases of a subscription has crashed.
    #[error("the leases of subscription {0} are no longer renewed")]
    LeasesNotRenewed(String),
    /// A task of the runtime panicked. This is a fault of Sealbus, not of a handler.
    #[error("a task of the consumer runtime crashed")]
    Crashed(#[source] JoinError),
}
