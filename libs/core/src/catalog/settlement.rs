//! The settlement types as Rust knows them: an enum, so that a handler that forgets one does not compile.

use std::fmt;
use std::str::FromStr;

/// Declares the types once: each with its name as an event type.
macro_rules! settlement_types {
    ($($variant:ident = $name:literal,)*) => {
        /// The fifteen types of the settlement module, in the order in which a transaction meets them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SettlementType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl SettlementType {
            /// All of them, in that order.
            pub const ALL: [SettlementType; 15] = [$(SettlementType::$variant),*];

            /// Its name as an event type.
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

/// A type that is none of the fifteen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no settlement type")]
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
        assert_eq!(refused.to_string(), "payment.lost is no settlement type");
    }

    #[test]
    fn the_enum_and_the_settlement_file_are_the_same_list() {
        let catalog = Catalog::shipped();
        let mut in_file: Vec<_> = catalog.types_of_module("settlement").collect();
        let mut in_rust = SettlementType::ALL.map(SettlementType::as_str);
        in_file.sort_unstable();
        in_rust.sort_unstable();
        assert_eq!(in_file, in_rust);
    }
}
