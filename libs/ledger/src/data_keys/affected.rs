//! What an erasure made unreadable, and where copies of it went.

use std::str::FromStr;

use sealbus_core::names::Tenant;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::DataKeys;
use crate::LedgerError;

/// The events whose payloads are under some data keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// How many.
    pub events: u64,
    /// In how many plans.
    pub plans: u64,
    /// How many of them wait in the outbox: the broker has no copy of those yet.
    pub waiting: u64,
}

/// How many such events of a type a subscription is past, taken or not wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The subscription.
    pub subscription: String,
    /// The events' type.
    pub event_type: String,
    /// How many.
    pub events: u64,
}

impl DataKeys<'_> {
    /// The events of a tenant under these data keys.
    pub async fn affected(self, tenant: &Tenant, keys: &[Uuid]) -> Result<Affected, LedgerError> {
        let keys: Vec<String> = keys.iter().map(Uuid::to_string).collect();
        let row = sqlx::query!(
            r#"-- under_data_keys
            SELECT count(*) AS "events!", count(DISTINCT e.plan_no) AS "plans!", count(o.id) AS "waiting!"
            FROM sealbus.events e LEFT JOIN sealbus.outbox o ON o.plan_no = e.plan_no AND o.seq = e.seq
            WHERE e.tenant = $1 AND e.payload_mode = 2 AND e.payload ->> 'key' = ANY ($2)"#,
            tenant.as_str(),
            &keys,
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Ok(Affected {
            events: row.events.unsigned_abs(),
            plans: row.plans.unsigned_abs(),
            waiting: row.waiting.unsigned_abs(),
        })
    }

    /// Which subscriptions are past events of a tenant under these data keys, by the events' types: by their position in the
    /// plan, and where that was pruned by their floor.
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
            WHERE e.tenant = $1 AND e.payload_mode = 2 AND e.payload ->> 'key' = ANY ($2)
              AND CASE WHEN pos.plan_no IS NULL THEN l.leaf_index < f.floor ELSE e.seq < pos.next_seq END
            GROUP BY s.name, e.type ORDER BY s.name, e.type"#,
            tenant.as_str(),
            &keys,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Passed { subscription: row.name, event_type: row.event_type, events: row.events.unsigned_abs() })
            .collect())
    }
}

/// Gives the space of deleted data keys back at once, table and indexes, instead of when autovacuum comes by. `owner_url` is an
/// address of `sealbus_owner`, whose table it is.
pub async fn vacuum_data_keys(owner_url: &str) -> Result<(), LedgerError> {
    let options = PgConnectOptions::from_str(owner_url).map_err(LedgerError::Address)?;
    let mut connection = options.connect().await?;
    sqlx::query!("-- vacuum_data_keys\nVACUUM (INDEX_CLEANUP ON) sealbus.data_keys").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
