//! A connection to one ledger, and what that ledger is.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::LedgerError;
use crate::data_keys::DataKeys;
use crate::delivery::dead_letters::DeadLetters;
use crate::delivery::floors::Floors;
use crate::delivery::positions::Positions;
use crate::delivery::subscriptions::Subscriptions;
use crate::history::History;
use crate::keys::Keys;
use crate::leases::table::Leases;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::verification::Verification;

/// How to reach a ledger.
#[derive(Clone)]
pub struct LedgerConfig {
    /// `postgres://…`; may hold a password, so this type has no `Debug`.
    pub url: String,
    /// Connections that the pool may open.
    pub max_connections: u32,
    /// How long a caller waits for a connection before the database counts as away.
    pub acquire_timeout: Duration,
}

impl LedgerConfig {
    /// The settings of a role, for an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: 16, acquire_timeout: Duration::from_secs(5) }
    }
}

/// What a ledger is: written when it is created, and once more for each recover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Counts recovers from 1; repairs of the stream carry it in their message ids.
    pub generation: i64,
    /// The name of the deployment, in every header and checkpoint.
    pub origin: String,
    /// The Merkle log that this ledger's events go into.
    pub log_id: Uuid,
    /// Partitions of plans: a power of two up to 64, fixed at creation.
    pub partitions: u32,
}

/// An open ledger. Cloning shares the pool.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    deployment: Arc<Deployment>,
}

impl Ledger {
    /// Connects, and reads which deployment this is.
    ///
    /// # Errors
    /// [`LedgerError::NotCreated`] until `deployment` has a row, [`LedgerError::Encoding`] where the database is not
    /// UTF8, [`LedgerError::Unreachable`] where nothing answers.
    pub async fn open(config: &LedgerConfig) -> Result<Self, LedgerError> {
        let pool = pool(config)?;
        let encoding = sqlx::query_scalar!("-- encoding\nSELECT current_setting('server_encoding') AS \"encoding!\"")
            .fetch_one(&pool)
            .await?;
        if encoding != "UTF8" {
            return Err(LedgerError::Encoding(encoding));
        }
        let deployment = deployment(&mut *pool.acquire().await?).await?.ok_or(LedgerError::NotCreated)?;
        Ok(Self { pool, deployment: Arc::new(deployment) })
    }

    /// Which deployment this is.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Refuses a configured origin that is not the ledger's own.
    pub fn check_origin(&self, configured: &str) -> Result<(), LedgerError> {
        if self.deployment.origin == configured {
            return Ok(());
        }
        Err(LedgerError::OtherOrigin { stored: self.deployment.origin.clone(), configured: configured.to_owned() })
    }

    /// Returns access to the outbox.
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { ledger: self }
    }

    /// Returns access to the table of leases.
    pub fn leases(&self) -> Leases<'_> {
        Leases { ledger: self }
    }

    /// Returns access to the subscriptions.
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { ledger: self }
    }

    /// Returns access to the positions of subscriptions in plans.
    pub fn positions(&self) -> Positions<'_> {
        Positions { ledger: self }
    }

    /// Returns access to the floors of subscriptions in partitions.
    pub fn floors(&self) -> Floors<'_> {
        Floors { ledger: self }
    }

    /// Returns access to the positions that are not live, and to the operator commands for them.
    pub fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters { ledger: self }
    }

    /// Returns read access to the stored events.
    pub fn history(&self) -> History<'_> {
        History { ledger: self }
    }

    /// Returns access to the log and its Merkle tree.
    pub fn log(&self) -> Log<'_> {
        Log { ledger: self }
    }

    /// Returns access to the signing keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys { ledger: self }
    }

    /// Returns access to the data keys of encrypted payloads.
    pub fn data_keys(&self) -> DataKeys<'_> {
        DataKeys { ledger: self }
    }

    /// Returns access to the checks of what is stored.
    pub fn verification(&self) -> Verification<'_> {
        Verification { ledger: self }
    }

    /// Answers when the database does. For readiness.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        sqlx::query!("-- ping\nSELECT 1 AS one").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// The pool, for transactions in which a handler's effect and its position commit together.
    pub fn effects_pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A pool whose connections are not pinged before each use: an error at the first statement says the same.
pub(crate) fn pool(config: &LedgerConfig) -> Result<PgPool, LedgerError> {
    let options = PgConnectOptions::from_str(&config.url).map_err(LedgerError::Address)?.application_name("sealbus");
    Ok(PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

/// The newest row of `deployment`, if there is one; the schema may be missing too.
pub(crate) async fn deployment(connection: &mut PgConnection) -> Result<Option<Deployment>, LedgerError> {
    let row = sqlx::query!(
        "-- deployment
         SELECT generation, origin, log_id, partitions FROM sealbus.deployment ORDER BY generation DESC LIMIT 1"
    )
    .fetch_optional(connection)
    .await;
    match row {
        Ok(row) => Ok(row.map(|row| Deployment {
            generation: row.generation,
            origin: row.origin,
            log_id: row.log_id,
            partitions: u32::try_from(row.partitions).unwrap_or(1),
        })),
        // 42P01, 3F000: no such table or schema. Nothing has been migrated yet.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "3F000")) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
