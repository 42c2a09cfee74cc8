//! The ledger: everything that Sealbus stores in Postgres. No other crate contains SQL, except for the tables of sinks.
//!
//! [`Ledger`] opens a database and gives one handle for each part of it. A handle is a reference and is `Copy`; a function
//! that takes an [`Outbox`](outbox::Outbox) can touch nothing but the outbox.
//!
//! | handle | part | module |
//! |---|---|---|
//! | [`Ledger::outbox`] | events that the broker has not acknowledged, and beacons | [`outbox`] |
//! | [`Ledger::log`] | the seal queue, the log, its Merkle tree and its checkpoints | [`log`] |
//! | [`Ledger::history`] | stored events: plans, pages, ranges, heads, export | [`history`] |
//! | [`Ledger::subscriptions`], [`positions`](Ledger::positions), [`floors`](Ledger::floors), [`dead_letters`](Ledger::dead_letters) | the events that each subscription has applied, and those that it still has to apply | [`delivery`] |
//! | [`Ledger::leases`] | which process does which part of the work | [`leases`] |
//! | [`Ledger::keys`] | the keys that sign events | [`keys`] |
//! | [`Ledger::data_keys`] | the keys of encrypted payloads, and erasure | [`data_keys`] |
//! | [`Ledger::server_history`] | the history of the database server, and failovers | [`server_history`] |
//! | [`Ledger::verification`] | checks of all that is stored | [`verification`] |
//!
//! Two things are not handles, because they run in the background: an [`Appender`](append::Appender), the only way to add
//! events ([`append`]), and a [`Keeper`](leases::keeper::Keeper) of leases. Databases and schemas are made by [`schema`].
//!
//! The tables and rules are specified in `docs/spec/protocol.md`; each module links the rules that it implements. All
//! statements name their tables as `sealbus.<table>`, so that nothing depends on a search path. Each statement begins with a
//! comment that names it, so that an operator who sees it in `pg_stat_activity` finds it here.

pub mod append;
mod commit;
mod connections;
pub mod data_keys;
pub mod delivery;
mod error;
pub mod history;
pub mod keys;
pub mod leases;
mod ledger;
pub mod log;
pub mod low_water;
pub mod outbox;
mod own_event;
mod pg;
pub mod schema;
pub mod server_history;
mod stored_time;
pub mod verification;

pub use crate::connections::{ConnectionSettings, Lane, LaneUsage, LentConnection};
pub use crate::error::{LedgerError, OpenError, is_of_statement, was_left_idle};
pub use crate::ledger::{Deployment, Ledger};
pub use crate::schema::{Creation, EXPECTED_MIGRATION, check_migration, create, migrate};
