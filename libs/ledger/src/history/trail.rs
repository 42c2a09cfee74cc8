//! Reading history back: a plan's trail, all events in log order, one event, heads and plans.
//!
//! Every read gives [`Record`]s as stored, with their log index where they have one. Pages are bounded by the caller; a
//! page of a plan goes by seq, a page of everything by log index, so that a cursor survives restore and failover.

use std::collections::HashMap;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant, TypePattern};
use uuid::Uuid;

use super::History;
use crate::LedgerError;
use crate::history::record::{into_records, select_records};

/// Which events of a plan to read.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// Events beyond this seq; descending: before it, 0 for from the head on.
    pub after_seq: u64,
    /// At most so many.
    pub limit: u32,
    /// Types wanted; empty for all.
    pub types: Vec<TypePattern>,
    /// Newest first.
    pub descending: bool,
}

/// A page of a plan.
#[derive(Debug, Clone)]
pub struct PlanPage {
    /// In the order asked for.
    pub records: Vec<Record>,
    /// Events of the plan that match, on all pages.
    pub total: u64,
    /// Whether another page follows.
    pub more: bool,
}

/// Which events of the log to read.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Tenants wanted; none for all.
    pub tenants: Option<Vec<Tenant>>,
    /// From this log index on.
    pub from_index: u64,
    /// At most so many.
    pub limit: u32,
}

/// A plan's last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its seq.
    pub seq: u64,
    /// Its event hash.
    pub hash: Hash,
}

impl History<'_> {
    /// A page of a plan's events.
    pub async fn page(self, tenant: &Tenant, plan: &Plan, query: &PageQuery) -> Result<PlanPage, LedgerError> {
        let Some(plan_no) = self.plan_no(tenant.as_str(), plan.as_str()).await? else {
            return Ok(PlanPage { records: Vec::new(), total: 0, more: false });
        };
        let types = patterns(&query.types);
        let limit = i64::from(query.limit) + 1;
        let rows = if query.descending {
            let before = if query.after_seq == 0 { i64::MAX } else { signed(query.after_seq) };
            select_records!(
                "plan_page_descending",
                "",
                "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                 LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
                 WHERE e.plan_no = $1 AND e.seq < $2 AND ($3::text[] IS NULL OR e.type LIKE ANY ($3)) ORDER BY e.seq DESC LIMIT $4",
                plan_no,
                before,
                types.as_deref(),
                limit
            )
            .fetch_all(self.ledger.pool())
            .await?
        } else {
            select_records!(
                "plan_page",
                "",
                "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                 LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
                 WHERE e.plan_no = $1 AND e.seq > $2 AND ($3::text[] IS NULL OR e.type LIKE ANY ($3)) ORDER BY e.seq LIMIT $4",
                plan_no,
                signed(query.after_seq),
                types.as_deref(),
                limit
            )
            .fetch_all(self.ledger.pool())
            .await?
        };
        let total = sqlx::query_scalar!(
            r#"-- plan_total
            SELECT count(*) AS "total!" FROM sealbus.events WHERE plan_no = $1 AND ($2::text[] IS NULL OR type LIKE ANY ($2))"#,
            plan_no,
            types.as_deref(),
        )
        .fetch_one(self.ledger.pool())
        .await?;
        let mut records = into_records(rows, &self.ledger.deployment().origin)?;
        let more = records.len() > query.limit as usize;
        records.truncate(query.limit as usize);
        Ok(PlanPage { records, total: total.unsigned_abs(), more })
    }

    /// Sealed events in log order, from an index on.
    pub async fn log_page(self, query: &LogQuery) -> Result<Vec<Record>, LedgerError> {
        let tenants: Option<Vec<String>> =
            query.tenants.as_ref().map(|tenants| tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect());
        let rows = select_records!(
            "log_page",
            "",
            "FROM sealbus.log_leaves l
             JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             WHERE l.log_id = $1 AND l.leaf_index >= $2 AND ($3::text[] IS NULL OR e.tenant = ANY ($3))
             ORDER BY l.leaf_index LIMIT $4",
            self.ledger.deployment().log_id,
            signed(query.from_index),
            tenants.as_deref(),
            i64::from(query.limit)
        )
        .fetch_all(self.ledger.pool())
        .await?;
        into_records(rows, &self.ledger.deployment().origin)
    }

    /// The plan's last event; with `below_index` the last sealed one below that log index.
    pub async fn head(
        self,
        tenant: &Tenant,
        plan: &Plan,
        below_index: Option<u64>,
    ) -> Result<Option<Head>, LedgerError> {
        let row = sqlx::query!(
            r#"-- head
            SELECT e.seq, e.event_hash FROM sealbus.events e
            WHERE e.plan_no = (SELECT plan_no FROM sealbus.plans WHERE tenant = $1 AND plan = $2)
              AND ($3::bigint IS NULL OR EXISTS (
                  SELECT FROM sealbus.log_leaves l WHERE l.plan_no = e.plan_no AND l.seq = e.seq AND l.leaf_index < $3))
            ORDER BY e.seq DESC LIMIT 1"#,
            tenant.as_str(),
            plan.as_str(),
            below_index.map(signed),
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(row.and_then(|row| Some(Head { seq: row.seq.unsigned_abs(), hash: Hash::from_slice(&row.event_hash)? })))
    }

    /// One event by its id, which is unique within a tenant only.
    pub async fn event(self, tenant: &Tenant, event_id: Uuid) -> Result<Option<Record>, LedgerError> {
        let row = select_records!(
            "event",
            "",
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE e.tenant = $1 AND e.event_id = $2",
            tenant.as_str(),
            event_id
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        row.map(|row| row.into_record(&self.ledger.deployment().origin)).transpose()
    }

    /// Names of a tenant's plans in byte order, beyond `after`, that begin with `prefix`.
    pub async fn plans(
        self,
        tenant: &Tenant,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar!(
            "-- plans
            SELECT plan FROM sealbus.plans WHERE tenant = $1 AND starts_with(plan, $2) AND plan > $3 AND plan >= $2 ORDER BY plan LIMIT $4",
            tenant.as_str(),
            prefix,
            after,
            i64::from(limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(names)
    }

    /// The number of a plan, once it has an event. It never changes, and is in no message or file.
    pub async fn plan_no(self, tenant: &str, plan: &str) -> Result<Option<i64>, LedgerError> {
        let number = sqlx::query_scalar!(
            "-- plan_no\nSELECT plan_no FROM sealbus.plans WHERE tenant = $1 AND plan = $2",
            tenant,
            plan
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(number)
    }

    /// Numbers of plans, by (tenant, plan); those the ledger does not know are left out.
    pub async fn plan_nos(self, plans: &[(&str, &str)]) -> Result<HashMap<(String, String), i64>, LedgerError> {
        let (tenants, names): (Vec<String>, Vec<String>) =
            plans.iter().map(|(tenant, plan)| ((*tenant).to_owned(), (*plan).to_owned())).unzip();
        let rows = sqlx::query!(
            "-- plan_nos
            SELECT p.tenant, p.plan, p.plan_no FROM unnest($1::text[], $2::text[]) AS w (tenant, plan)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan",
            &tenants,
            &names,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().map(|row| ((row.tenant, row.plan), row.plan_no)).collect())
    }

    /// The ledger's event hashes of some places of a plan, by seq.
    pub async fn event_hashes(self, plan_no: i64, seqs: &[u64]) -> Result<HashMap<u64, Hash>, LedgerError> {
        let rows = sqlx::query!(
            "-- event_hashes\nSELECT seq, event_hash FROM sealbus.events WHERE plan_no = $1 AND seq = ANY ($2)",
            plan_no,
            &seqs.iter().copied().map(signed).collect::<Vec<_>>(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.seq.unsigned_abs(), Hash::from_slice(&row.event_hash)?)))
            .collect())
    }

    /// Which of these ids a tenant has events of.
    pub async fn stored_ids(self, tenant: &str, ids: &[Uuid]) -> Result<Vec<Uuid>, LedgerError> {
        let stored = sqlx::query_scalar!(
            "-- stored_ids\nSELECT event_id FROM sealbus.events WHERE tenant = $1 AND event_id = ANY ($2)",
            tenant,
            ids,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(stored)
    }

    /// Events of a plan from `from_seq` to `to_seq`, both included, in order, at most `limit`.
    pub async fn range(self, plan_no: i64, from_seq: u64, to_seq: u64, limit: u32) -> Result<Vec<Record>, LedgerError> {
        let rows = select_records!(
            "range",
            "",
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE e.plan_no = $1 AND e.seq BETWEEN $2 AND $3 ORDER BY e.seq LIMIT $4",
            plan_no,
            signed(from_seq),
            signed(to_seq),
            i64::from(limit)
        )
        .fetch_all(self.ledger.pool())
        .await?;
        into_records(rows, &self.ledger.deployment().origin)
    }
}

/// Patterns as LIKE has them. Type tokens hold `_`, which LIKE reads as any character, so it is escaped.
fn patterns(types: &[TypePattern]) -> Option<Vec<String>> {
    if types.is_empty() {
        return None;
    }
    Some(types.iter().map(|pattern| pattern.as_str().replace('_', "\\_").replace('*', "%")).collect())
}

/// Numbers of the seal end at 2^53 − 1; what a caller asks beyond that finds nothing.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
