//! Queries for single events, heads and ranges of events, and for the names and numbers of plans.

use std::collections::HashMap;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};
use uuid::Uuid;

use super::History;
use super::record::{read_bounded, select_records};
use crate::LedgerError;
use crate::pg::{Column, bound};

const SEQ: Column = Column::new("events", "seq");
const EVENT_HASH: Column = Column::new("events", "event_hash");

/// The last event of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The seq of the event.
    pub seq: u64,
    /// The `event_hash` of the event.
    pub hash: Hash,
}

impl History<'_> {
    /// Returns an event by its id, which is unique within a tenant.
    pub async fn event(self, tenant: &Tenant, event_id: Uuid) -> Result<Option<Record>, LedgerError> {
        let event = select_records!("event", "WHERE e.tenant = $1 AND e.event_id = $2", tenant.as_str(), event_id);
        let row = event.fetch_optional(self.ledger.reads()).await?;
        row.map(|row| row.into_record(&self.ledger.deployment().origin)).transpose()
    }

    /// Returns a tenant's events with these ids, ordered by id. Returns fewer once they have
    /// [`MAX_READ_BYTES`](super::MAX_READ_BYTES), but at least one if there is one: the caller asks again for the higher ids.
    pub async fn events(self, tenant: &Tenant, ids: &[Uuid]) -> Result<Vec<Record>, LedgerError> {
        let events = select_records!(
            "events",
            bounded by "e.event_id",
            page "FROM sealbus.events e WHERE e.tenant = $1 AND e.event_id = ANY ($2) ORDER BY e.event_id",
            tenant.as_str(),
            ids
        );
        Ok(read_bounded(events.fetch(self.ledger.reads()), &self.ledger.deployment().origin, Err).await?.records)
    }

    /// Returns those of `ids` that are ids of a tenant's stored events, in no particular order.
    pub async fn stored_ids(self, tenant: &str, ids: &[Uuid]) -> Result<Vec<Uuid>, LedgerError> {
        let stored = sqlx::query_scalar!(
            "-- stored_ids\nSELECT event_id FROM sealbus.events WHERE tenant = $1 AND event_id = ANY ($2)",
            tenant,
            ids,
        );
        Ok(stored.fetch_all(self.ledger.reads()).await?)
    }

    /// Returns the last event of a plan. With `below_index`, returns the last event of the plan whose log index is lower than
    /// `below_index`. Returns `None` if there is no such event.
    pub async fn head(
        self,
        tenant: &Tenant,
        plan: &Plan,
        below_index: Option<u64>,
    ) -> Result<Option<Head>, LedgerError> {
        let row = sqlx::query!(
            "-- head
            SELECT e.seq, e.event_hash FROM sealbus.plans p
            CROSS JOIN LATERAL (
                SELECT CASE WHEN $3::bigint IS NULL THEN (SELECT last.seq FROM sealbus.events last WHERE last.plan_no = p.plan_no ORDER BY last.seq DESC LIMIT 1)
                    ELSE sealbus.last_seq_below($4, p.plan_no, $3) END AS seq OFFSET 0
            ) found
            JOIN sealbus.events e ON e.plan_no = p.plan_no AND e.seq = found.seq
            WHERE p.tenant = $1 AND p.plan = $2",
            tenant.as_str(),
            plan.as_str(),
            below_index.map(bound),
            self.ledger.deployment().log_id,
        );
        let row = row.fetch_optional(self.ledger.reads()).await?;
        row.map(|row| Ok(Head { seq: SEQ.read(row.seq)?, hash: EVENT_HASH.hash(&row.event_hash)? })).transpose()
    }

    /// Returns the seq of the head of each plan, in the order of `plans`. The seq is 0 for a plan without an event.
    pub async fn heads(self, plans: &[(Tenant, Plan)]) -> Result<Vec<u64>, LedgerError> {
        let tenants: Vec<String> = plans.iter().map(|(tenant, _)| tenant.to_string()).collect();
        let names: Vec<String> = plans.iter().map(|(_, plan)| plan.to_string()).collect();
        let heads = sqlx::query_scalar!(
            r#"-- heads
            SELECT coalesce(h.seq, 0) AS "seq!"
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (tenant, plan, at)
            LEFT JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            LEFT JOIN LATERAL (
                SELECT e.seq FROM sealbus.events e WHERE e.plan_no = p.plan_no ORDER BY e.seq DESC LIMIT 1
            ) h ON true
            ORDER BY w.at"#,
            &tenants,
            &names,
        );
        heads.fetch_all(self.ledger.reads()).await?.into_iter().map(|seq| SEQ.read(seq)).collect()
    }

    /// Returns up to `limit` events of a plan with seqs from `from_seq` to `to_seq`, both included, ordered by seq. Returns fewer
    /// once they have [`MAX_READ_BYTES`](super::MAX_READ_BYTES), but at least one if there is one.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] if the first of the events is not of its form. If it is a later one, those before it are returned.
    pub async fn range(self, plan_no: i64, from_seq: u64, to_seq: u64, limit: u32) -> Result<Vec<Record>, LedgerError> {
        let range = select_records!(
            "range",
            bounded by "e.seq",
            page "FROM sealbus.events e WHERE e.plan_no = $1 AND e.seq BETWEEN $2 AND $3 ORDER BY e.seq LIMIT $4",
            plan_no,
            bound(from_seq),
            bound(to_seq),
            i64::from(limit)
        );
        Ok(read_bounded(range.fetch(self.ledger.reads()), &self.ledger.deployment().origin, Err).await?.records)
    }

    /// Returns the event hashes of a plan's events with the given seqs, by seq. The result omits events that the ledger
    /// lacks. It also omits events whose stored hash is not 32 bytes long, because such a hash cannot equal that of any event.
    pub async fn event_hashes(self, plan_no: i64, seqs: &[u64]) -> Result<HashMap<u64, Hash>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- event_hashes
            SELECT seq, event_hash AS "event_hash?" FROM sealbus.events WHERE plan_no = $1 AND seq = ANY ($2)"#,
            plan_no,
            &seqs.iter().copied().map(bound).collect::<Vec<_>>(),
        );
        let rows = rows.fetch_all(self.ledger.reads()).await?.into_iter();
        let hashes = rows.filter_map(|row| Some((row.seq, Hash::from_slice(&row.event_hash?)?)));
        hashes.map(|(seq, hash)| Ok((SEQ.of_row(plan_no).read(seq)?, hash))).collect()
    }

    /// Returns up to `limit` names of a tenant's plans that begin with `prefix` and are greater than `after`, in byte order.
    pub async fn plans(
        self,
        tenant: &Tenant,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar!(
            // No name contains the last character of Unicode, so that all names with the prefix lie between these bounds.
            "-- plans
            SELECT plan FROM sealbus.plans
            WHERE tenant = $1 AND starts_with(plan, $2) AND plan > $3 AND plan >= $2 AND plan < $2 || chr(1114111)
            ORDER BY plan LIMIT $4",
            tenant.as_str(),
            prefix,
            after,
            i64::from(limit),
        );
        Ok(names.fetch_all(self.ledger.reads()).await?)
    }

    /// Returns the internal number of a plan, or `None` if the plan has no event. The number never changes, and appears in no
    /// message or file.
    pub async fn plan_no(self, tenant: &str, plan: &str) -> Result<Option<i64>, LedgerError> {
        let number = sqlx::query_scalar!(
            "-- plan_no\nSELECT plan_no FROM sealbus.plans WHERE tenant = $1 AND plan = $2",
            tenant,
            plan
        );
        Ok(number.fetch_optional(self.ledger.reads()).await?)
    }

    /// Returns the internal numbers of plans, by (tenant, plan). The result omits plans without an event.
    pub async fn plan_nos(self, plans: &[(&str, &str)]) -> Result<HashMap<(String, String), i64>, LedgerError> {
        let (tenants, names): (Vec<&str>, Vec<&str>) = plans.iter().copied().unzip();
        let rows = sqlx::query!(
            "-- plan_nos
            SELECT p.tenant, p.plan, p.plan_no FROM unnest($1::text[], $2::text[]) AS w (tenant, plan)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan",
            &tenants as &[&str],
            &names as &[&str],
        );
        let rows = rows.fetch_all(self.ledger.reads()).await?.into_iter();
        Ok(rows.map(|row| ((row.tenant, row.plan), row.plan_no)).collect())
    }
}
