//! Reads of stored events.

pub mod export;
mod heads;
pub(crate) mod record;
pub mod trail;

use crate::Ledger;

/// The stored events. From [`Ledger::history`].
#[derive(Clone, Copy)]
pub struct History<'a> {
    pub(crate) ledger: &'a Ledger,
}
