//! What has to be known of all plans before one of them is judged: which keys count, what was erased, how late the log goes;
//! and what is owed.

use futures::TryStreamExt;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{Finding, Trust, Verdict};

use super::Scope;
use super::Verification;
use crate::LedgerError;
use crate::history::record::select_records;
use crate::history::trail::signed;

/// Leaves among which the event that was recorded last is looked for. The log's order is that of the queue, in which an event
/// stands as soon as it is recorded: the latest is among the last.
const LATEST: u64 = 10_000;

impl Verification<'_> {
    /// What the keyring, the plan `_keys` and the plans `_erasures` together say; `size` is the number of leaves of the log
    /// that is believed.
    pub async fn trust(self, keyring: &Keyring, size: u64) -> Result<Trust, LedgerError> {
        let mut trust = Trust::new(&self.ledger.deployment().origin, keyring.clone(), [], size);
        let (tenant, keys, erasures) = (Tenant::system(), Plan::keys(), Plan::erasures());
        let mut rows = select_records!(
            "trust",
            "",
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE (p.tenant = $1 AND p.plan = $2) OR p.plan = $3 ORDER BY p.tenant, p.plan, e.seq",
            tenant.as_str(),
            keys.as_str(),
            erasures.as_str()
        )
        .fetch(self.ledger.pool());
        while let Some(row) = rows.try_next().await? {
            // A row that cannot be read gives no trust; checking the plan itself finds it.
            if let Ok(mut record) = row.into_record(&self.ledger.deployment().origin) {
                record.log_index = record.log_index.filter(|index| *index < size);
                trust.survey(&record);
            }
        }
        let latest = select_records!(
            "latest_sealed",
            "",
            "FROM sealbus.log_leaves l JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             WHERE l.log_id = $1 AND l.leaf_index >= $2 AND l.leaf_index < $3 ORDER BY e.recorded DESC LIMIT 1",
            self.ledger.deployment().log_id,
            signed(size.saturating_sub(LATEST)),
            signed(size)
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        if let Some(record) = latest.and_then(|row| row.into_record(&self.ledger.deployment().origin).ok()) {
            trust.survey(&record);
        }
        Ok(trust)
    }

    /// The events of the scope that the sealing queue says were appended, and that are not there, or not the same (check 18).
    pub async fn missing_from_queue(self, scope: &Scope) -> Result<Vec<Finding>, LedgerError> {
        let (tenant, plan) = scope.names();
        let rows = sqlx::query!(
            r#"-- missing_from_queue
            SELECT p.tenant AS "tenant?", p.plan AS "plan?", q.plan_no, q.seq
            FROM sealbus.seal_queue q LEFT JOIN sealbus.plans p ON p.plan_no = q.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
            WHERE ($1::text IS NULL OR p.tenant = $1) AND ($2::text IS NULL OR p.plan = $2)
                AND (e.plan_no IS NULL OR e.event_hash <> q.event_hash)
            ORDER BY p.tenant, p.plan, q.seq"#,
            tenant,
            plan,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let finding = |tenant: Option<String>, plan: Option<String>, plan_no: i64, seq: i64| Finding {
            verdict: Verdict::Missing,
            tenant: tenant.unwrap_or_default(),
            plan: plan.unwrap_or_else(|| format!("(plan number {plan_no})")),
            seq: u64::try_from(seq).unwrap_or(0),
            detail: "the sealing queue says that an event was appended here, and it is not the one that stands here"
                .to_owned(),
        };
        Ok(rows.into_iter().map(|row| finding(row.tenant, row.plan, row.plan_no, row.seq)).collect())
    }

    /// Those of these events, which publishers were handed, that are nowhere (check 18).
    pub async fn missing_events(self, receipts: &[Record]) -> Result<Vec<Finding>, LedgerError> {
        let mut missing = Vec::new();
        for Record { header, event_hash, .. } in receipts {
            let there = sqlx::query_scalar!(
                r#"-- event_is_there
                SELECT EXISTS (SELECT FROM sealbus.events WHERE tenant = $1 AND event_id = $2 AND event_hash = $3) AS "there!""#,
                header.tenant,
                header.event_id,
                event_hash.as_bytes(),
            )
            .fetch_one(self.ledger.pool())
            .await?;
            if !there {
                missing.push(Finding {
                    verdict: Verdict::Missing,
                    tenant: header.tenant.clone(),
                    plan: header.plan.clone(),
                    seq: header.seq,
                    detail: format!("event {event_hash} was acknowledged and is missing"),
                });
            }
        }
        Ok(missing)
    }

    /// The database's clock.
    pub async fn now(self) -> Result<Timestamp, LedgerError> {
        let now =
            sqlx::query_scalar!("-- now\nSELECT clock_timestamp() AS \"now!\"").fetch_one(self.ledger.pool()).await?;
        Ok(Timestamp::from_offset(now))
    }
}
