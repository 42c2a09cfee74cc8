//! The settlement types as Rust knows them: an enum, so that a handler that forgets one does not compile.

use std::fmt;
use std::str::FromStr;

/// The fifteen types of the settlement module, in the order in which a transaction meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SettlementType {
    /// `transaction.created`
    TransactionCreated,
    /// `participants.authorized`
    ParticipantsAuthorized,
    /// `preconditions.satisfied`
    PreconditionsSatisfied,
    /// `instrument.ready`
    InstrumentReady,
    /// `payment.ready`
    PaymentReady,
    /// `transaction.prepared`
    TransactionPrepared,
    /// `instrument.dispatched`
    InstrumentDispatched,
    /// `payment.dispatched`
    PaymentDispatched,
    /// `instrument.acknowledged`
    InstrumentAcknowledged,
    /// `payment.accepted`
    PaymentAccepted,
    /// `payment.settled`
    PaymentSettled,
    /// `transaction.validated`
    TransactionValidated,
    /// `transaction.committed`
    TransactionCommitted,
    /// `transaction.aborted`
    TransactionAborted,
    /// `transaction.unwind_initiated`
    TransactionUnwindInitiated,
}

impl SettlementType {
    /// All of them, in that order.
    pub const ALL: [SettlementType; 15] = [
        SettlementType::TransactionCreated,
        SettlementType::ParticipantsAuthorized,
        SettlementType::PreconditionsSatisfied,
        SettlementType::InstrumentReady,
        SettlementType::PaymentReady,
        SettlementType::TransactionPrepared,
        SettlementType::InstrumentDispatched,
        SettlementType::PaymentDispatched,
        SettlementType::InstrumentAcknowledged,
        SettlementType::PaymentAccepted,
        SettlementType::PaymentSettled,
        SettlementType::TransactionValidated,
        SettlementType::TransactionCommitted,
        SettlementType::TransactionAborted,
        SettlementType::TransactionUnwindInitiated,
    ];

    /// Its name as an event type.
    pub const fn as_str(self) -> &'static str {
        match self {
            SettlementType::TransactionCreated => "transaction.created",
            SettlementType::ParticipantsAuthorized => "participants.authorized",
            SettlementType::PreconditionsSatisfied => "preconditions.satisfied",
            SettlementType::InstrumentReady => "instrument.ready",
            SettlementType::PaymentReady => "payment.ready",
            SettlementType::TransactionPrepared => "transaction.prepared",
            SettlementType::InstrumentDispatched => "instrument.dispatched",
            SettlementType::PaymentDispatched => "payment.dispatched",
            SettlementType::InstrumentAcknowledged => "instrument.acknowledged",
            SettlementType::PaymentAccepted => "payment.accepted",
            SettlementType::PaymentSettled => "payment.settled",
            SettlementType::TransactionValidated => "transaction.validated",
            SettlementType::TransactionCommitted => "transaction.committed",
            SettlementType::TransactionAborted => "transaction.aborted",
            SettlementType::TransactionUnwindInitiated => "transaction.unwind_initiated",
        }
    }
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
        SettlementType::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| NotSettlement(name.to_owned()))
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
