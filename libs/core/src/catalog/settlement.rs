//! The settlement types as an enum, so that the compiler finds a handler that does not handle all of them.

use std::fmt;
use std::str::FromStr;

/// Declares the types, each with its name.
macro_rules! settlement_types {
    ($($variant:ident = $name:literal,)*) => {
        /// The 15 event types of the settlement module, in the order in which they occur in a transaction.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SettlementType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl SettlementType {
            /// All types in that order.
            pub const ALL: [SettlementType; 15] = [$(SettlementType::$variant),*];

            /// Returns the name of the event type.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(SettlementType::$variant => $name,)*
                }
            }
        }
    };
}

settlement_types! {
    TransactionCreated = "transaction.created",
    ParticipantsAuthorized = "participants.authorized",
    PreconditionsSatisfied = "preconditions.satisfied",
    InstrumentReady = "instrument.ready",
    PaymentReady = "payment.ready",
    TransactionPrepared = "transaction.prepared",
    InstrumentDispatched = "instrument.dispatched",
    PaymentDispatched = "payment.dispatched",
    InstrumentAcknowledged = "instrument.acknowledged",
    PaymentAccepted = "payment.accepted",
    PaymentSettled = "payment.settled",
    TransactionValidated = "transaction.validated",
    TransactionCommitted = "transaction.committed",
    TransactionAborted = "transaction.aborted",
    TransactionUnwindInitiated = "transaction.unwind_initiated",
}

impl fmt::Display for SettlementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The event type is not a settlement type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a settlement type")]
pub struct NotSettlement(pub String);

impl FromStr for SettlementType {
    type Err = NotSettlement;

    fn from_str(name: &str) -> Result<Self, NotSettlement> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| NotSettlement(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn names_read_back_and_others_are_refused_by_name() {
        for known in SettlementType::ALL {
            assert_eq!(known.as_str().parse(), Ok(known));
        }
        let refused = "payment.lost".parse::<SettlementType>().expect_err("not one of them");
        assert_eq!(refused.to_string(), "payment.lost is not a settlement type");
    }

    #[test]
    fn the_enum_and_the_settlement_file_are_the_same_list() {
        let catalog = Catalog::read(&[]).expect("the built-in catalog");
        let of_module = catalog.types.values().filter(|entry| entry.module == "settlement");
        let mut in_file: Vec<_> = of_module.map(|entry| entry.name.as_str()).collect();
        let mut in_rust = SettlementType::ALL.map(SettlementType::as_str);
        in_file.sort_unstable();
        in_rust.sort_unstable();
        assert_eq!(in_file, in_rust);
    }
}
