//! Reads of stored events.
//!
//! [`History`] returns events as [`Record`](sealbus_core::event::Record)s, as they are stored, with their log index if they are
//! sealed. Nothing is verified here. The caller bounds each page. Pages of a plan are ordered by seq and pages of all events by
//! log index, so that a cursor stays valid after a restore or a failover.
//!
//! - `trail`: pages of a plan and of the log.
//! - `lookup`: single events, heads, ranges, names and numbers of plans.
//! - `export`: all records of a [`Scope`], as a stream.
//! - `record`: the conversion of a row into a record.

mod export;
mod lookup;
pub(crate) mod record;
mod scope;
mod trail;

pub use self::lookup::Head;
pub use self::scope::Scope;
pub use self::trail::{LogQuery, PageQuery, PlanPage};
use crate::Ledger;

/// Read access to the stored events, from [`Ledger::history`].
#[derive(Clone, Copy)]
pub struct History<'a> {
    pub(crate) ledger: &'a Ledger,
}
