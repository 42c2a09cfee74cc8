//! Ranges of a plan's events that fit into memory.

use sealbus_core::event::Record;

use super::History;
use super::record::{into_records, select_records};
use crate::LedgerError;
use crate::pg::bound;

impl History<'_> {
    /// Returns events of a plan with seqs from `from_seq` to `to_seq`, both included, ordered by seq: up to `limit`, and only as
    /// many as have payloads and metadata of `max_bytes` together. The first one is always returned.
    pub async fn range_within(
        self,
        plan_no: i64,
        from_seq: u64,
        to_seq: u64,
        limit: u32,
        max_bytes: u64,
    ) -> Result<Vec<Record>, LedgerError> {
        let range = select_records!(
            "range_within",
            with "WITH page AS (
                SELECT seq, CASE WHEN payload IS NULL THEN 0 ELSE payload_size END + octet_length(metadata::text) AS size
                FROM sealbus.events WHERE plan_no = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT $4
             ), sized AS (
                SELECT seq, sum(size) OVER (ORDER BY seq) AS total, row_number() OVER (ORDER BY seq) AS place FROM page
             )",
            from "FROM sized
             JOIN sealbus.events e ON e.plan_no = $1 AND e.seq = sized.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE sized.total <= $5 OR sized.place = 1 ORDER BY e.seq",
            plan_no,
            bound(from_seq),
            bound(to_seq),
            i64::from(limit),
            bound(max_bytes)
        );
        into_records(range.fetch_all(self.ledger.reads()).await?, &self.ledger.deployment().origin)
    }
}
