//! The schema of a ledger, and the ways to make one.
//!
//! Three steps make a ledger. A superuser makes the database, the two roles and the schemas (`migrations/roles.sql`;
//! [`bootstrap`] does the same for development and tests). [`migrate`] makes the tables, as `sealbus_owner`. [`create`] writes
//! the row of table `deployment` and the first event. Each step does nothing if it was done before.

pub mod bootstrap;
mod creation;
mod migrate;

pub use self::creation::{Creation, create};
pub use self::migrate::{EXPECTED_MIGRATION, check_migration, migrate};
