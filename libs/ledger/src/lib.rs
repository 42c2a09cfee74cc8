//! The ledger: everything that Sealbus keeps in Postgres, and the only crate of the workspace that speaks SQL.
//!
//! An event enters through [`append`], which writes it once, next in its plan, signed and linked to the event before;
//! nothing changes it afterwards. What is still owed for it stands in queues beside it: the [`outbox`] for the relay and
//! the seal queue for the sealer ([`log`]). [`trail`] reads history back, [`verification`] checks it. How far each
//! subscription is stands in [`positions`] and [`floors`], who does which share of the work in [`leases`], which keys may
//! sign in [`keys`].
//!
//! The tables and the rules by which nothing is lost, forked or disordered are in the protocol's contract; each module
//! here names the part that it carries out. All statements name their tables as `sealbus.<table>`, so that nothing
//! depends on a search path, and open with a comment that names their function, so that an operator who sees one in
//! `pg_stat_activity` finds it here.

pub mod append;
mod commit;
pub mod data_keys;
pub mod delivery;
mod error;
pub mod history;
pub mod keys;
pub mod leases;
mod ledger;
pub mod log;
pub mod outbox;
mod own_event;
pub mod schema;
pub mod verification;

pub use crate::error::LedgerError;
pub use crate::ledger::{Deployment, Ledger, LedgerConfig};
pub use crate::schema::{Creation, EXPECTED_MIGRATION, applied_migration, check_migration, create, migrate};
