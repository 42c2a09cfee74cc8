//! Migrations: forward only, expand and contract, applied under a lock by whichever replica comes first.
//!
//! sqlx stores a checksum of each migration's file in the ledger and refuses a file that differs. The checksums of released
//! migrations are therefore pinned here, as they were when each migration was published, and the comments in the files may
//! change. The statements may not: a test compares them with a pinned hash of their own.

use std::str::FromStr;
use std::sync::LazyLock;

use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::{Ledger, OpenError};

/// The newest migration that this program has. Readiness checks expect it unless another one is configured.
pub const EXPECTED_MIGRATION: i64 = 10;

/// The published migrations from version 1 on: SHA-384 of each file, in hex, which is what sqlx stored in the ledgers that have
/// the migration.
const CHECKSUMS: [&str; 8] = [
    "e095dd11620eed568b80043b82b0e2591af66c9ab897d98f009baff15ce3686fe4cecebda3b33d0b0cb538d7ead522c3",
    "d816d9aaf30ddb6f0224765008e4c9b874fe33120793c94d2d66feff0d6de7e571b7a4434a9e06898d026db64b1e2f1c",
    "c034252b6c3c42cd3da90a5411341e13c2c4ca75fb5146fc3c77ef07d2f47f0c49328881050a0d9beb845c240ce20209",
    "1cd3b955212986afe874ffd443c81ce27659793d3fb2101ef6a33a408993afdf5fc0004afdd0837116f3c3622ed06172",
    "92dce36328d021e9e7935b08df6630e0b566c5c4d9eb9a384597b0259b392afcb406ff462fdf7a0534a4c84a39316509",
    "c225028458e6fccb783c07c620fa0497f425ad8ece7bb9e666dac667af5478f6c80e76a7bcf223f386b506e5e3be1a70",
    "c0fb6d73f2d5423331119aaf7d5bb3fac6f0ecfca87385d64bf75b360c62986b4017f23738066d927755ac7cd3612e85",
    "ac191882122335f2d346146c1b795b1658a46aebc997c4b00edeb8fd8f296cafa139fd37d6a898938ceffd1f4727817c",
];

/// The migrations in the folder, with the files' own checksums.
static FILES: Migrator = sqlx::migrate!("../../migrations");

/// The migrations with the checksums that were published. A migration that was not published keeps its own.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations: Vec<Migration> = FILES.iter().cloned().collect();
    for (migration, checksum) in migrations.iter_mut().zip(CHECKSUMS) {
        migration.checksum = hex::decode(checksum).expect("a pinned checksum is hex").into();
    }
    Migrator::with_migrations(migrations)
});

/// Applies the migrations that the database lacks. `owner_url` is the address of the database for `sealbus_owner`, or for a
/// superuser.
///
/// Replicas that start together apply each migration once: sqlx takes an advisory lock, which like all locks except those of
/// plans is not negative.
///
/// # Errors
/// [`OpenError::Migration`] names the migration that failed and was rolled back, or that this program does not have.
pub async fn migrate(owner_url: &str) -> Result<(), OpenError> {
    let options =
        PgConnectOptions::from_str(owner_url).map_err(OpenError::Address)?.options([("search_path", "sealbus")]);
    let mut connection = options.connect().await?;
    // CREATE SCHEMA IF NOT EXISTS needs the right to create schemas even if the schema exists.
    let exists = sqlx::query_scalar!("-- migrate\nSELECT to_regnamespace('sealbus') IS NOT NULL AS \"there!\"");
    if !exists.fetch_one(&mut connection).await? {
        sqlx::query!("-- migrate\nCREATE SCHEMA sealbus").execute(&mut connection).await?;
    }
    // Migrator::run would do the same, but its future is not Send.
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(OpenError::Migration)?;
    Ok(connection.close().await?)
}

/// Checks that the newest applied migration is `expected`, or a later one with which programs that expect `expected` can
/// work, for readiness. So a new release that has migrated the schema does not make the processes of this one unready.
///
/// # Errors
/// A short text for an operator.
pub async fn check_migration(ledger: &Ledger, expected: i64) -> Result<(), String> {
    let schema = sqlx::query!(
        r#"-- applied_migration
        SELECT coalesce(max(version), 0) AS "applied!", sealbus.compatible_since() AS "since!"
        FROM sealbus._sqlx_migrations WHERE success"#
    );
    match schema.fetch_one(ledger.probes()).await {
        Ok(schema) if schema.applied == expected || (schema.since..schema.applied).contains(&expected) => Ok(()),
        Ok(schema) => Err(format!("{} is applied, {expected} is expected", schema.applied)),
        Err(_) => Err("unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use sealbus_core::hash::Hash;

    use super::*;

    /// SHA-256 of the [`statements`] of each published migration, in hex.
    const STATEMENTS: [&str; 8] = [
        "c6571431b7933ad345c16e9b36476fcb8836402244c60ab930be24e5f4d8a002",
        "14ef4c6a086f7335023191b887833345b27f989c610f1387ff37bb9ea4a3788a",
        "23e0ebe0c8b54bf7814d85793a3b4a621a576bbc73f30d7d45cf67cdc5668fcf",
        "3cd7b39a78e91d655e2037d4cb282c6166a235c75d117bafb7a2c22c926a7197",
        "95ec1609bf8c1450bd26f4cc5f0249edaeb398ca1a94d2e05eeda76073b129c8",
        "bee1c39c0fef2b19a9b4308709aa7449b985fad88c8bf6bb91cf9da9dffbe668",
        "342f70fde3795669a70f0efbb06d9eb03dbf527b2c9056091b4ab8ead4f78913",
        "b99d7f95ee6f0828e7759c0a4b4433cde5dfab4aa0b04099cfcf55da658fbef5",
    ];

    /// Returns the statements of a file without comments, and with one space for each run of white space outside of strings.
    fn statements(sql: &str) -> String {
        let (mut statements, mut in_string) = (String::new(), false);
        let mut rest = sql.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '\'' => in_string = !in_string,
                '-' if !in_string && rest.peek() == Some(&'-') => {
                    while rest.peek().is_some_and(|next| *next != '\n') {
                        rest.next();
                    }
                    continue;
                }
                space if !in_string && space.is_whitespace() => {
                    if !statements.is_empty() && !statements.ends_with(' ') {
                        statements.push(' ');
                    }
                    continue;
                }
                _ => {}
            }
            statements.push(character);
        }
        statements.trim_end().to_owned()
    }

    #[test]
    fn the_expected_migration_is_the_newest_one() {
        let newest = FILES.iter().map(|migration| migration.version).max();
        assert_eq!(newest, Some(EXPECTED_MIGRATION));
    }

    #[test]
    fn every_published_migration_keeps_its_checksum_and_its_statements() {
        assert_eq!(MIGRATOR.iter().count(), FILES.iter().count());
        for (index, (checksum, statements_hash)) in CHECKSUMS.iter().zip(STATEMENTS).enumerate() {
            let version = i64::try_from(index).unwrap() + 1;
            let of_version = |migrator: &Migrator| {
                migrator.iter().find(|migration| migration.version == version).expect("the file exists").clone()
            };
            let pinned = hex::encode(&of_version(&MIGRATOR).checksum);
            assert_eq!(pinned, *checksum, "checksum of migration {version}");
            let statements = statements(of_version(&FILES).sql.as_str());
            assert_eq!(
                Hash::of(statements.as_bytes()).to_string(),
                statements_hash,
                "a statement of migration {version} was changed, not only a comment"
            );
        }
    }

    #[test]
    fn comments_and_white_space_do_not_count_as_statements() {
        let one = "-- A comment with 'quotes'.\nSELECT '--  kept', 1; -- trailing\n\n  SELECT\t2;\n";
        assert_eq!(statements(one), "SELECT '--  kept', 1; SELECT 2;");
        assert_ne!(statements("SELECT 'a  b'"), statements("SELECT 'a b'"));
    }
}
