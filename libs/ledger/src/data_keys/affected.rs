//! The events that an erasure made unreadable, and the subscriptions that have passed them.

use std::str::FromStr;

use sealbus_core::names::Tenant;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::DataKeys;
use crate::pg::Column;
use crate::{LedgerError, OpenError};

const COUNT: Column = Column::new("events", "count(*)");

/// The number of events whose payloads are encrypted under some data keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The number of events.
    pub events: u64,
    /// The number of plans that contain these events.
    pub plans: u64,
    /// The number of these events that are in the outbox, because the broker has not confirmed that it has a copy of them.
    pub waiting: u64,
}

/// The number of events of one type, encrypted under some data keys, that a subscription has passed: it applied them or does
/// not want them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The name of the subscription.
    pub subscription: String,
    /// The type of the events.
    pub event_type: String,
    /// The number of events.
    pub events: u64,
}

impl DataKeys<'_> {
    /// Returns the number of a tenant's events under these data keys.
    pub async fn affected(self, tenant: &Tenant, keys: &[Uuid]) -> Result<Affected, LedgerError> {
        let keys: Vec<String> = keys.iter().map(Uuid::to_string).collect();
        let row = sqlx::query!(
            r#"-- under_data_keys
            SELECT count(*) AS "events!", count(DISTINCT e.plan_no) AS "plans!", count(o.id) AS "waiting!"
            FROM sealbus.events e LEFT JOIN sealbus.outbox o ON o.plan_no = e.plan_no AND o.seq = e.seq
            WHERE e.tenant = $1 AND e.payload_mode = 2 AND sealbus.data_key_of(e.payload::text) = ANY ($2)"#,
            tenant.as_str(),
            &keys,
        );
        let row = row.fetch_one(self.ledger.background()).await?;
        let (events, plans, waiting) = (COUNT.read(row.events)?, COUNT.read(row.plans)?, COUNT.read(row.waiting)?);
        Ok(Affected { events, plans, waiting })
    }

    /// Returns which subscriptions have passed events of a tenant under these data keys, by type. A subscription has passed an
    /// event by its position in the plan or, if that was pruned, by its floor.
    pub async fn passed(self, tenant: &Tenant, keys: &[Uuid]) -> Result<Vec<Passed>, LedgerError> {
        let keys: Vec<String> = keys.iter().map(Uuid::to_string).collect();
        let rows = sqlx::query!(
            r#"-- passed_under_data_keys
            SELECT s.name, e.type AS event_type, count(*) AS "events!"
            FROM sealbus.events e
            JOIN sealbus.plans p ON p.plan_no = e.plan_no
            CROSS JOIN sealbus.subscriptions s
            LEFT JOIN sealbus.positions pos ON pos.subscription_no = s.subscription_no AND pos.plan_no = e.plan_no
            LEFT JOIN sealbus.floors f ON f.subscription_no = s.subscription_no AND f.partition = p.partition
            LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
            WHERE e.tenant = $1 AND e.payload_mode = 2 AND sealbus.data_key_of(e.payload::text) = ANY ($2)
              AND CASE WHEN pos.plan_no IS NULL THEN l.leaf_index < f.floor ELSE e.seq < pos.next_seq END
            GROUP BY s.name, e.type ORDER BY s.name, e.type"#,
            tenant.as_str(),
            &keys,
        );
        let passed = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            let events = COUNT.read(row.events)?;
            Ok(Passed { subscription: row.name, event_type: row.event_type, events })
        });
        passed.collect()
    }
}

/// Frees the space of deleted data keys in table and indexes at once, rather than when autovacuum runs. `owner_url` is the
/// address of the database for the owner of the table, `sealbus_owner`.
pub async fn vacuum_data_keys(owner_url: &str) -> Result<(), OpenError> {
    let options = PgConnectOptions::from_str(owner_url).map_err(OpenError::Address)?;
    let mut connection = options.connect().await?;
    sqlx::query!("-- vacuum_data_keys\nVACUUM (INDEX_CLEANUP ON) sealbus.data_keys").execute(&mut connection).await?;
    Ok(connection.close().await?)
}
