//! Pages of a plan's events, and of all sealed events in log order.

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant, TypePattern};

use super::History;
use super::record::{BoundedRead, read_bounded, select_records};
use crate::LedgerError;
use crate::pg::{Column, bound};

/// The events, or the leaves of the log, that a page with a filter examines at most. A page that has examined as many ends there,
/// so that its cost has a bound however few of them match.
pub const MAX_EXAMINED: u64 = 10_000;

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
#[derive(Debug, Clone, Default)]
pub struct PlanPage {
    /// The events, in the requested order. With a filter there may be none although there is a further page.
    pub records: Vec<Record>,
    /// The seq of the plan's head, which is the number of its events. It is 0 if the plan does not exist.
    pub head: u64,
    /// The `after_seq` of the further page; `None` if there is no further page.
    pub next: Option<u64>,
}

/// A page of the log's events.
#[derive(Debug, Clone, Default)]
pub struct LogPage {
    /// The events, ordered by log index. With a filter there may be none although there is a further page.
    pub records: Vec<Record>,
    /// The log index of the last event that was read, also if it was left out.
    pub last_index: Option<u64>,
    /// The log index at which the further page begins; `None` if the log ends before the limit.
    pub next: Option<u64>,
}

impl History<'_> {
    /// Returns a page of a plan's events. For a plan without events it is empty.
    ///
    /// A page ends early, with fewer events than the limit, once they have [`MAX_READ_BYTES`](super::MAX_READ_BYTES), and a page of
    /// some types once it has examined [`MAX_EXAMINED`] events.
    pub async fn page(self, tenant: &Tenant, plan: &Plan, query: &PageQuery) -> Result<PlanPage, LedgerError> {
        let Some((plan_no, head)) = self.plan_head(tenant, plan).await? else { return Ok(PlanPage::default()) };
        let types = like_patterns(&query.types);
        let examined = if types.is_some() { MAX_EXAMINED } else { u64::MAX };
        let limit = i64::from(query.limit);
        // The seqs that the page examines, and whether there is an event beyond one of them.
        let (first, last) = match (query.descending, query.after_seq) {
            (false, after) => (after.saturating_add(1), after.saturating_add(examined)),
            (true, 0) => (head.saturating_sub(examined).saturating_add(1), u64::MAX),
            (true, before) => {
                let before = before.min(head.saturating_add(1));
                (before.saturating_sub(examined).max(1), before - 1)
            }
        };
        let beyond = |seq: &u64| if query.descending { *seq > 1 } else { *seq < head };
        let (reads, origin) = (self.ledger.reads(), self.ledger.deployment().origin.as_str());
        let BoundedRead { records, is_cut, .. } = if query.descending {
            let page = select_records!(
                "plan_page_descending",
                bounded by "-e.seq",
                page "FROM sealbus.events e
                 WHERE e.plan_no = $1 AND e.seq BETWEEN $2 AND $3 AND ($4::text[] IS NULL OR e.type LIKE ANY ($4)) ORDER BY e.seq DESC LIMIT $5",
                plan_no,
                bound(first),
                bound(last),
                types.as_deref(),
                limit
            );
            read_bounded(page.fetch(reads), origin, Err).await?
        } else {
            let page = select_records!(
                "plan_page",
                bounded by "e.seq",
                page "FROM sealbus.events e
                 WHERE e.plan_no = $1 AND e.seq BETWEEN $2 AND $3 AND ($4::text[] IS NULL OR e.type LIKE ANY ($4)) ORDER BY e.seq LIMIT $5",
                plan_no,
                bound(first),
                bound(last),
                types.as_deref(),
                limit
            );
            read_bounded(page.fetch(reads), origin, Err).await?
        };
        let is_full = is_cut || records.len() as u64 == u64::from(query.limit);
        let end = match records.last().filter(|_| is_full) {
            Some(record) => record.header.seq,
            None if query.descending => first,
            None => last,
        };
        Ok(PlanPage { records, head, next: Some(end).filter(beyond) })
    }

    /// Returns up to `limit` sealed events from log index `from_index` on, ordered by log index: those of `tenants`, or of all
    /// tenants if that is `None`.
    ///
    /// A page ends early, with fewer events than the limit, once they have [`MAX_READ_BYTES`](super::MAX_READ_BYTES), and a page of
    /// some tenants once it has examined [`MAX_EXAMINED`] leaves.
    ///
    /// An event whose row is invalid is reported as an alarm and left out, so that the events of other plans can be read.
    pub async fn log_page(
        self,
        tenants: Option<&[Tenant]>,
        from_index: u64,
        limit: u32,
    ) -> Result<LogPage, LedgerError> {
        let tenants: Option<Vec<String>> = tenants.map(|tenants| tenants.iter().map(Tenant::to_string).collect());
        let end = from_index.saturating_add(if tenants.is_some() { MAX_EXAMINED } else { u64::MAX });
        // The tenant is compared in `plans` too, so that no event of another tenant is read.
        let page = select_records!(
            "log_page",
            bounded by "l.leaf_index",
            page "FROM sealbus.log_leaves l
             JOIN sealbus.plans p ON p.plan_no = l.plan_no AND ($4::text[] IS NULL OR p.tenant = ANY ($4))
             JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq AND ($4::text[] IS NULL OR e.tenant = ANY ($4))
             WHERE l.log_id = $1 AND l.leaf_index >= $2 AND l.leaf_index < $3
             ORDER BY l.leaf_index LIMIT $5",
            self.ledger.deployment().log_id,
            bound(from_index),
            bound(end),
            tenants.as_deref(),
            i64::from(limit)
        );
        let leave_out = |error| {
            tracing::error!(error = %error_chain(&error), "stored event is invalid; it is left out of the log's events");
            Ok(())
        };
        let BoundedRead { records, last_index, rows, is_cut } =
            read_bounded(page.fetch(self.ledger.reads()), &self.ledger.deployment().origin, leave_out).await?;
        let next = match last_index {
            Some(last) if is_cut || rows == u64::from(limit) => Some(last.saturating_add(1)),
            _ if tenants.is_some() && end < self.ledger.log().size().await? => Some(end),
            _ => None,
        };
        Ok(LogPage { records, last_index, next })
    }

    /// Returns the number of a plan and the seq of its head; `None` if the plan does not exist.
    async fn plan_head(self, tenant: &Tenant, plan: &Plan) -> Result<Option<(i64, u64)>, LedgerError> {
        let head = sqlx::query!(
            r#"-- plan_head
            SELECT p.plan_no, coalesce(
                (SELECT e.seq FROM sealbus.events e WHERE e.plan_no = p.plan_no ORDER BY e.seq DESC LIMIT 1), 0) AS "seq!"
            FROM sealbus.plans p WHERE p.tenant = $1 AND p.plan = $2"#,
            tenant.as_str(),
            plan.as_str(),
        );
        let row = head.fetch_optional(self.ledger.reads()).await?;
        row.map(|row| Ok((row.plan_no, Column::new("events", "seq").of_row(row.plan_no).read(row.seq)?))).transpose()
    }
}

/// Returns the patterns as LIKE reads them; `None` for all types. Types can contain `_`, which LIKE reads as any character, so
/// it is escaped.
fn like_patterns(types: &[TypePattern]) -> Option<Vec<String>> {
    let like = |pattern: &TypePattern| pattern.as_str().replace('_', "\\_").replace('*', "%");
    (!types.is_empty()).then(|| types.iter().map(like).collect())
}
