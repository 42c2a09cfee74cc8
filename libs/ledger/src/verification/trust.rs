//! The facts that are needed before the first plan is checked: the keys that count, the erasures and the latest time of the
//! log. This module also finds events that are missing although a receipt or the seal queue shows that they were appended.

use futures::{StreamExt, TryStreamExt};
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{Finding, Trust, Verdict};

use super::{Scope, Verification};
use crate::LedgerError;
use crate::history::record::{RecordRow, select_records};
use crate::pg::bound;

/// The number of leaves at the end of the log that are searched for the event with the latest `recorded`. The order of the log is
/// almost the order of `recorded`, so no other leaf has to be read.
const LAST_LEAVES: u64 = 10_000;

impl Verification<'_> {
    /// Returns what a verifier with this keyring has to know to check the events in scope: the keys that count, the erasures, and
    /// the latest time of the log. Leaves with a log index of `size` or more are ignored.
    pub async fn trust(self, keyring: &Keyring, size: u64, scope: &Scope) -> Result<Trust, LedgerError> {
        let mut trust = self.chain_trust(keyring, size, scope).await?;
        let latest = select_records!(
            "latest_sealed",
            from
            "FROM sealbus.log_leaves l JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             WHERE l.log_id = $1 AND l.leaf_index >= $2 AND l.leaf_index < $3 AND e.recorded < '10000-01-01Z'
             ORDER BY e.recorded DESC LIMIT 1",
            self.ledger.deployment().log_id,
            bound(size.saturating_sub(LAST_LEAVES)),
            bound(size)
        );
        let latest = latest.fetch_optional(self.ledger.reads()).await?;
        if let Some(record) = latest.and_then(|row| row.into_record(&self.ledger.deployment().origin).ok()) {
            trust.survey(&record);
        }
        Ok(trust)
    }

    /// Returns what a verifier has to know to check the chains in scope without the log: what plan `_keys` says, and the erasures
    /// of the tenant in scope. For a single plan these are the erasures that name a key of the plan.
    pub(super) async fn chain_trust(self, keyring: &Keyring, size: u64, scope: &Scope) -> Result<Trust, LedgerError> {
        let origin = &self.ledger.deployment().origin;
        let mut trust = Trust::new(origin, keyring.clone(), [], size);
        let (system, keys, erasures) = (Tenant::system(), Plan::keys(), Plan::erasures());
        let keys = select_records!(
            "trusted_keys",
            "WHERE p.tenant = $1 AND p.plan = $2 ORDER BY e.seq",
            system.as_str(),
            keys.as_str()
        );
        let (tenant, plan) = scope.names();
        let erased = match plan {
            None => select_records!(
                "trusted_erasures",
                "WHERE e.type = 'subject.erased' AND p.plan = $1 AND ($2::text IS NULL OR e.tenant = $2) ORDER BY p.tenant, e.seq",
                erasures.as_str(),
                tenant
            )
            .fetch(self.ledger.reads()),
            Some(plan) => select_records!(
                "trusted_erasures_of_plan",
                with
                "WITH named AS MATERIALIZED (
                    SELECT coalesce(array_agg(DISTINCT sealbus.data_key_of(n.payload::text)), '{}') AS keys FROM sealbus.events n
                    JOIN sealbus.plans o ON o.plan_no = n.plan_no
                    WHERE o.tenant = $2 AND o.plan = $3 AND n.tenant = $2 AND n.payload_mode = 2
                )",
                from
                "FROM named CROSS JOIN LATERAL sealbus.erasures_of(named.keys) found
                 JOIN sealbus.events e ON e.plan_no = found.plan_no AND e.seq = found.seq
                 JOIN sealbus.plans p ON p.plan_no = e.plan_no
                 LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
                 WHERE p.plan = $1 AND e.tenant = $2 ORDER BY e.seq",
                erasures.as_str(),
                tenant,
                plan
            )
            .fetch(self.ledger.reads()),
        };
        let mut rows = keys.fetch(self.ledger.reads()).chain(erased);
        while let Some(row) = rows.try_next().await? {
            // An invalid row adds nothing to the trust. It becomes a finding when its plan is checked.
            let log_index = row.valid_index().filter(|index| *index < size);
            let row = RecordRow { log_index: None, ..row };
            if let Ok(record) = row.into_record(origin) {
                trust.survey(&Record { log_index, ..record });
            }
        }
        Ok(trust)
    }

    /// Returns findings for events in scope that the seal queue names and that the ledger lacks, or holds with another hash
    /// (`docs/spec/integrity.md#verify-18`). A queued event whose plan has no row may be of any plan.
    pub async fn missing_from_queue(self, scope: &Scope) -> Result<Vec<Finding>, LedgerError> {
        let (tenant, plan) = scope.names();
        let rows = sqlx::query!(
            r#"-- missing_from_queue
            SELECT p.tenant AS "tenant?", p.plan AS "plan?", q.plan_no, q.seq
            FROM sealbus.seal_queue q LEFT JOIN sealbus.plans p ON p.plan_no = q.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
            WHERE (p.plan_no IS NULL OR ($1::text IS NULL OR p.tenant = $1) AND ($2::text IS NULL OR p.plan = $2))
                AND (e.plan_no IS NULL OR e.event_hash <> q.event_hash)
            ORDER BY p.tenant, p.plan, q.seq"#,
            tenant,
            plan,
        );
        let findings = rows.fetch_all(self.ledger.reads()).await?.into_iter().map(|row| {
            let text = "the seal queue names an event here that is missing or has another hash";
            // The seq of a finding cannot be negative, so the detail contains a stored seq that is.
            let (seq, detail) = u64::try_from(row.seq)
                .map_or_else(|_| (0, format!("{text}; its seq is {}", row.seq)), |seq| (seq, text.to_owned()));
            Finding {
                verdict: Verdict::Missing,
                tenant: row.tenant.unwrap_or_default(),
                plan: row.plan.unwrap_or_else(|| format!("(plan number {})", row.plan_no)),
                seq,
                detail,
            }
        });
        Ok(findings.collect())
    }

    /// Returns findings for receipts whose events the ledger lacks (`docs/spec/integrity.md#verify-18`).
    pub async fn missing_events(self, receipts: &[Record]) -> Result<Vec<Finding>, LedgerError> {
        let mut missing = Vec::new();
        for Record { header, event_hash, .. } in receipts {
            let there = sqlx::query_scalar!(
                r#"-- event_is_there
                SELECT EXISTS (SELECT FROM sealbus.events WHERE tenant = $1 AND event_id = $2 AND event_hash = $3) AS "there!""#,
                header.tenant,
                header.event_id,
                event_hash.as_bytes(),
            );
            if !there.fetch_one(self.ledger.reads()).await? {
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

    /// Returns the time of the database's clock.
    pub async fn now(self) -> Result<Timestamp, LedgerError> {
        let now = sqlx::query_scalar!("-- now\nSELECT clock_timestamp() AS \"now!\"");
        Ok(Timestamp::from_offset(now.fetch_one(self.ledger.reads()).await?))
    }
}
