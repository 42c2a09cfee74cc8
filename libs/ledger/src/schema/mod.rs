//! The schema: how a ledger is created and migrated.

pub mod bootstrap;
mod creation;
mod migrate;

pub use self::creation::{Creation, create};
pub use self::migrate::{EXPECTED_MIGRATION, applied_migration, check_migration, migrate};
