//! Migrations: only forward, expand and contract, applied under a lock by whichever replica comes first.

use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::{Ledger, LedgerError};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The newest migration that this program knows: what readiness pins unless it is told otherwise.
pub const EXPECTED_MIGRATION: i64 = 8;

/// Brings the schema to this program's version; does nothing where it is there already.
///
/// `owner_url` is an address of `sealbus_owner` (or a superuser). sqlx takes an advisory lock of its own, non-negative as
/// all but the plans' are, so that replicas that start together apply each migration once.
///
/// # Errors
/// [`LedgerError::Migration`] names the migration; a failed one is rolled back.
pub async fn migrate(owner_url: &str) -> Result<(), LedgerError> {
    let options =
        PgConnectOptions::from_str(owner_url).map_err(LedgerError::Address)?.options([("search_path", "sealbus")]);
    let mut connection = options.connect().await?;
    // Asked first, because IF NOT EXISTS alone still needs the right to create schemas.
    let there = sqlx::query_scalar!("-- migrate\nSELECT to_regnamespace('sealbus') IS NOT NULL AS \"there!\"")
        .fetch_one(&mut connection)
        .await?;
    if !there {
        sqlx::query!("-- migrate\nCREATE SCHEMA sealbus").execute(&mut connection).await?;
    }
    // run() would do the same through a generic whose future cannot be spawned.
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(LedgerError::Migration)?;
    connection.close().await?;
    Ok(())
}

/// The newest migration that the ledger's schema has seen.
pub async fn applied_migration(ledger: &Ledger) -> Result<i64, LedgerError> {
    let version = sqlx::query_scalar!(
        "-- applied_migration\nSELECT max(version) AS version FROM sealbus._sqlx_migrations WHERE success"
    )
    .fetch_one(ledger.pool())
    .await?;
    Ok(version.unwrap_or(0))
}

/// Whether the schema is at `expected`; otherwise a few words for an operator.
pub async fn check_migration(ledger: &Ledger, expected: i64) -> Result<(), String> {
    match applied_migration(ledger).await {
        Ok(applied) if applied == expected => Ok(()),
        Ok(applied) => Err(format!("{applied} is applied, {expected} is expected")),
        Err(_) => Err("unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn expected_is_the_newest_there_is() {
        let newest = super::MIGRATOR.iter().map(|migration| migration.version).max();
        assert_eq!(newest, Some(super::EXPECTED_MIGRATION));
    }
}
