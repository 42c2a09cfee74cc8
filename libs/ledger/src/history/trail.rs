//! Pages of a plan's events, and of all sealed events in log order.

use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant, TypePattern};

use super::History;
use super::record::{into_records, select_records};
use crate::LedgerError;
use crate::pg::{Column, bound};

/// A selection of a plan's events to read.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// The page begins after this seq. If descending, it begins before it, and 0 means at the head.
    pub after_seq: u64,
    /// The highest number of events.
    pub limit: u32,
    /// The types to read. If it is empty, all types.
    pub types: Vec<TypePattern>,
    /// Whether to read the newest events first.
    pub descending: bool,
}

/// A page of a plan's events.
#[derive(Debug, Clone)]
pub struct PlanPage {
    /// The events, in the requested order.
    pub records: Vec<Record>,
    /// The number of events that match, on all pages.
    pub total: u64,
    /// Whether there is a further page.
    pub more: bool,
}

impl History<'_> {
    /// Returns a page of a plan's events. For a plan without events it is empty.
    pub async fn page(self, tenant: &Tenant, plan: &Plan, query: &PageQuery) -> Result<PlanPage, LedgerError> {
        let Some(plan_no) = self.plan_no(tenant.as_str(), plan.as_str()).await? else {
            return Ok(PlanPage { records: Vec::new(), total: 0, more: false });
        };
        let types = like_patterns(&query.types);
        let limit = i64::from(query.limit) + 1;
        let rows = if query.descending {
            let before = if query.after_seq == 0 { i64::MAX } else { bound(query.after_seq) };
            select_records!(
                "plan_page_descending",
                "WHERE e.plan_no = $1 AND e.seq < $2 AND ($3::text[] IS NULL OR e.type LIKE ANY ($3)) ORDER BY e.seq DESC LIMIT $4",
                plan_no,
                before,
                types.as_deref(),
                limit
            )
            .fetch_all(self.ledger.reads())
            .await?
        } else {
            select_records!(
                "plan_page",
                "WHERE e.plan_no = $1 AND e.seq > $2 AND ($3::text[] IS NULL OR e.type LIKE ANY ($3)) ORDER BY e.seq LIMIT $4",
                plan_no,
                bound(query.after_seq),
                types.as_deref(),
                limit
            )
            .fetch_all(self.ledger.reads())
            .await?
        };
        let total = sqlx::query_scalar!(
            r#"-- plan_total
            SELECT count(*) AS "total!" FROM sealbus.events WHERE plan_no = $1 AND ($2::text[] IS NULL OR type LIKE ANY ($2))"#,
            plan_no,
            types.as_deref(),
        );
        let total = total.fetch_one(self.ledger.reads()).await?;
        let mut records = into_records(rows, &self.ledger.deployment().origin)?;
        // One more row than the limit was read, to learn whether there is a further page.
        let more = records.len() as u64 > u64::from(query.limit);
        if more {
            records.pop();
        }
        Ok(PlanPage { records, total: Column::new("events", "count(*)").read(total)?, more })
    }

    /// Returns up to `limit` sealed events from log index `from_index` on, ordered by log index: those of `tenants`, or of all
    /// tenants if that is `None`.
    pub async fn log_page(
        self,
        tenants: Option<&[Tenant]>,
        from_index: u64,
        limit: u32,
    ) -> Result<Vec<Record>, LedgerError> {
        let tenants: Option<Vec<String>> = tenants.map(|tenants| tenants.iter().map(Tenant::to_string).collect());
        let page = select_records!(
            "log_page",
            from
            "FROM sealbus.log_leaves l
             JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             WHERE l.log_id = $1 AND l.leaf_index >= $2 AND ($3::text[] IS NULL OR e.tenant = ANY ($3))
             ORDER BY l.leaf_index LIMIT $4",
            self.ledger.deployment().log_id,
            bound(from_index),
            tenants.as_deref(),
            i64::from(limit)
        );
        into_records(page.fetch_all(self.ledger.reads()).await?, &self.ledger.deployment().origin)
    }
}

/// Returns the patterns as LIKE reads them; `None` for all types. Types can contain `_`, which LIKE reads as any character, so
/// it is escaped.
fn like_patterns(types: &[TypePattern]) -> Option<Vec<String>> {
    let like = |pattern: &TypePattern| pattern.as_str().replace('_', "\\_").replace('*', "%");
    (!types.is_empty()).then(|| types.iter().map(like).collect())
}
