//! An open ledger: its connections, its handles and its identity.

use std::sync::Arc;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::connections::{ConnectionSettings, Connections, Lane, LaneUsage, LentConnection};
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
use crate::pg::Column;
use crate::server_history::{Observed, ServerHistories};
use crate::verification::Verification;
use crate::{LedgerError, OpenError};

/// The identity of a ledger, from the row of table `deployment` with the highest generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Counts recoveries from 1. The message ids of repairs contain it.
    pub generation: i64,
    /// The name of the deployment. Every header and checkpoint contains it.
    pub origin: String,
    /// The Merkle log of this ledger's events.
    pub log_id: Uuid,
    /// The number of partitions of plans: a power of two from 1 to 64, fixed at creation.
    pub partitions: u32,
}

/// An open ledger. Clones share the connections.
#[derive(Clone)]
pub struct Ledger {
    connections: Connections,
    deployment: Arc<Deployment>,
}

impl Ledger {
    /// Connects to the database at `url`, `postgres://…`, and reads which deployment it holds.
    ///
    /// # Errors
    /// [`OpenError::Address`], [`OpenError::Encoding`], [`OpenError::NotCreated`], or [`OpenError::Ledger`] where the
    /// database is unreachable.
    pub async fn open(url: &str, settings: &ConnectionSettings) -> Result<Self, OpenError> {
        let connections = Connections::new(url, settings)?;
        let encoding = sqlx::query_scalar!("-- encoding\nSELECT current_setting('server_encoding') AS \"encoding!\"");
        let encoding = encoding.fetch_one(&connections.probes).await?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding(encoding));
        }
        let deployment = deployment(&connections.probes).await?.ok_or(OpenError::NotCreated)?;
        Ok(Self { connections, deployment: Arc::new(deployment) })
    }

    /// Returns the identity of the ledger, as it was when the ledger was opened.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Compares a configured origin with the ledger's.
    ///
    /// # Errors
    /// [`OpenError::OtherOrigin`] if they differ.
    pub fn check_origin(&self, configured: &str) -> Result<(), OpenError> {
        if self.deployment.origin == configured {
            return Ok(());
        }
        Err(OpenError::OtherOrigin { stored: self.deployment.origin.clone(), configured: configured.to_owned() })
    }

    /// Makes one round trip to the database, for readiness checks.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        sqlx::query!("-- ping\nSELECT 1 AS one").fetch_one(&self.connections.probes).await?;
        Ok(())
    }

    /// Closes all connections. Waits for those in use.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// Returns how the connections of each lane are used now, with the name of the lane.
    pub fn connection_usage(&self) -> [(&'static str, LaneUsage); 5] {
        self.connections.lanes().map(|(name, lane)| (name, lane.usage()))
    }

    /// Returns how often an operation of this process has found the database unreachable, or found another server.
    pub fn outages(&self) -> u64 {
        self.connections.outages()
    }

    /// Returns the connections for transactions in which the effect of a handler and its position commit together.
    pub fn effects(&self) -> &Lane {
        &self.connections.effects
    }

    pub(crate) fn appends(&self) -> &Lane {
        &self.connections.appends
    }

    pub(crate) fn reads(&self) -> &Lane {
        &self.connections.reads
    }

    pub(crate) fn background(&self) -> &Lane {
        &self.connections.background
    }

    /// Lends a connection of this lane whose server has a confirmed history.
    ///
    /// # Errors
    /// [`LedgerError::OtherHistory`] if it is not confirmed; a standby counts as unreachable. The connection is closed then, because
    /// another one may lead to another server.
    pub(crate) async fn confirmed_connection(&self, lane: &Lane) -> Result<LentConnection, LedgerError> {
        let mut connection = LentConnection::acquire(lane).await?;
        self.server_history().check(&mut connection).await?;
        Ok(connection)
    }

    pub(crate) fn observed(&self) -> &Observed {
        &self.connections.observed
    }

    pub(crate) fn probes(&self) -> &Lane {
        &self.connections.probes
    }

    /// Returns access to the outbox.
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { ledger: self }
    }

    /// Returns access to the log, the seal queue and the checkpoints.
    pub fn log(&self) -> Log<'_> {
        Log { ledger: self }
    }

    /// Returns read access to the stored events.
    pub fn history(&self) -> History<'_> {
        History { ledger: self }
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

    /// Returns access to the table of leases.
    pub fn leases(&self) -> Leases<'_> {
        Leases { ledger: self }
    }

    /// Returns access to the signing keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys { ledger: self }
    }

    /// Returns access to the data keys of encrypted payloads.
    pub fn data_keys(&self) -> DataKeys<'_> {
        DataKeys { ledger: self }
    }

    /// Returns access to the history of the database server.
    pub fn server_history(&self) -> ServerHistories<'_> {
        ServerHistories { ledger: self }
    }

    /// Returns access to the checks of what is stored.
    pub fn verification(&self) -> Verification<'_> {
        Verification { ledger: self }
    }
}

/// Reads the newest row of `deployment`. Returns `None` if there is no row, no table or no schema.
pub(crate) async fn deployment<'e>(connection: impl PgExecutor<'e>) -> Result<Option<Deployment>, LedgerError> {
    let newest = sqlx::query!(
        "-- deployment
         SELECT generation, origin, log_id, partitions FROM sealbus.deployment ORDER BY generation DESC LIMIT 1"
    );
    match newest.fetch_optional(connection).await {
        Ok(None) => Ok(None),
        Ok(Some(row)) => Ok(Some(Deployment {
            generation: row.generation,
            origin: row.origin,
            log_id: row.log_id,
            partitions: Column::new("deployment", "partitions").of_row(row.generation).read(row.partitions)?,
        })),
        // 42P01 and 3F000: no such table, no such schema. No migration was applied yet.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "3F000")) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
