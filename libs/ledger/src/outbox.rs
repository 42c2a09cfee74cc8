//! The outbox: the events that the broker has not acknowledged yet (`docs/spec/protocol.md#relay-1`, `#relay-3`, `#relay-4`).
//!
//! The rows of a plan become visible in the order of seq, and each is deleted after its acknowledgement. The relay depends on
//! two consequences. If a row is the smallest of its plan in the **whole** outbox, all events before it were acknowledged;
//! and an event whose row is gone was acknowledged. The smallest row is looked up by plan, in the snapshot that showed the
//! row, never within a page.
//!
//! Ids rise within a plan. Across plans a transaction can commit rows with lower ids than were read before, so nobody keeps a
//! cursor over the outbox. The relay reads it again and again, from a low-water bound below which no row can appear any more.
//! [`Outbox::writers`] tells when that bound may move.

use std::collections::HashMap;
use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_core::timestamp::Timestamp;

use crate::history::record::{RecordRow, select_records};
use crate::low_water::writers;
use crate::pg::{Column, bound};
use crate::{Ledger, LedgerError};

const PARTITION: Column = Column::new("outbox", "partition");
const SEQ: Column = Column::new("outbox", "seq");

/// The number of rows up to which the rows of a partition are counted.
pub const MAX_COUNTED_ROWS: i64 = 10_000;

/// A row of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The id of the row.
    pub id: i64,
    /// The number of the event's plan.
    pub plan_no: i64,
    /// The event's position in its plan.
    pub seq: u64,
    /// The smallest seq of the plan in the whole outbox, in the same snapshot; or, if the caller knew that the events before
    /// some seq were acknowledged, the smallest one from there on.
    pub smallest_seq: u64,
}

/// A plan of which the caller knows that all events before `next_seq` were acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPlan {
    /// The number of the plan.
    pub plan_no: i64,
    /// The seq of the first event that may not be acknowledged.
    pub next_seq: u64,
}

/// Reasons why an event of the outbox cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// The ledger does not hold the event.
    #[error("the ledger does not hold the event")]
    Missing,
    /// The stored event is invalid: it was not written by Sealbus.
    #[error("the stored event is invalid")]
    Unreadable(#[source] LedgerError),
}

/// The size of a partition's part of the outbox.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// The partition.
    pub partition: u32,
    /// The number of rows, or [`MAX_COUNTED_ROWS`] if there are more.
    pub rows: u64,
    /// Seconds since the event of the lowest row was recorded, by the database's clock; 0 if there is no row.
    pub oldest_seconds: f64,
}

/// An event that the broker acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a> {
    /// The outbox row that the event was read from, or that a hint named.
    pub id: i64,
    /// The event.
    pub record: &'a Record,
}

/// A message that the stream acknowledged, as evidence of what the stream held (`docs/spec/protocol.md#repair-beacons`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The name of the stream.
    pub stream: &'a str,
    /// When the stream was created. It distinguishes a stream from an earlier one of the same name.
    pub created: Timestamp,
    /// The position of the message in the stream.
    pub stream_seq: u64,
    /// The `Nats-Msg-Id` of the message.
    pub msg_id: &'a str,
    /// The lowest outbox row whose acknowledgement the relay had not seen; `None` if it had seen all.
    pub oldest_pending: Option<i64>,
}

/// Access to the outbox and to the beacons, from [`Ledger::outbox`].
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Outbox<'_> {
    /// Returns up to `limit` rows of a partition with an id of `from_id` or more, ordered by id.
    ///
    /// The smallest seq of a plan in `known` is looked for from the plan's `next_seq` on, or from its lowest row on the page if
    /// that is lower. A plan whose rows were deleted a moment ago would otherwise be searched through its dead rows each time.
    pub async fn page(
        self,
        partition: u32,
        from_id: i64,
        limit: u32,
        known: &[KnownPlan],
    ) -> Result<Vec<OutboxRow>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- outbox_page
            WITH page AS MATERIALIZED (
                SELECT o.id, o.plan_no, o.seq FROM sealbus.outbox o
                WHERE o.partition = $1 AND o.id >= $2 ORDER BY o.id LIMIT $3
            ), lowest AS MATERIALIZED (
                SELECT d.plan_no, least(d.seq, coalesce(k.next_seq, 0)) AS from_seq
                FROM (SELECT plan_no, min(seq) AS seq FROM page GROUP BY plan_no) d
                LEFT JOIN unnest($4::bigint[], $5::bigint[]) AS k (plan_no, next_seq) USING (plan_no)
            ), smallest AS MATERIALIZED (
                SELECT w.plan_no, s.seq FROM lowest w CROSS JOIN LATERAL (
                    SELECT o.seq FROM sealbus.outbox o WHERE o.plan_no = w.plan_no AND o.seq >= w.from_seq
                    ORDER BY o.plan_no, o.seq LIMIT 1
                ) s
            )
            SELECT page.id, page.plan_no, page.seq, smallest.seq AS "smallest!" FROM page JOIN smallest USING (plan_no) ORDER BY page.id"#,
            PARTITION.integer(partition)?,
            from_id,
            i64::from(limit),
            &known.iter().map(|plan| plan.plan_no).collect::<Vec<_>>(),
            &known.iter().map(|plan| bound(plan.next_seq)).collect::<Vec<_>>(),
        );
        let rows = rows.fetch_all(self.ledger.background()).await?.into_iter();
        rows.map(|row| outbox_row(row.id, row.plan_no, row.seq, row.smallest)).collect()
    }

    /// Returns the lowest rows of some plans, given as (tenant, plan, seq), from that seq on: up to `limit` of each plan, ordered
    /// by the plan's index in `plans` and by seq. All events before the seq have to be acknowledged. Plans without such rows are
    /// left out.
    pub async fn of_plans(
        self,
        plans: &[(&str, &str, u64)],
        limit: u32,
    ) -> Result<Vec<(usize, OutboxRow)>, LedgerError> {
        let tenants: Vec<&str> = plans.iter().map(|(tenant, ..)| *tenant).collect();
        let names: Vec<&str> = plans.iter().map(|(_, name, _)| *name).collect();
        let seqs: Vec<i64> = plans.iter().map(|(.., seq)| bound(*seq)).collect();
        let rows = sqlx::query!(
            r#"-- outbox_of_plans
            SELECT w.at AS "at!", p.plan_no, o.id, o.seq
            FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS w (tenant, plan, seq, at)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            CROSS JOIN LATERAL (
                SELECT o.id, o.seq FROM sealbus.outbox o WHERE o.plan_no = p.plan_no AND o.seq >= w.seq
                ORDER BY o.plan_no, o.seq LIMIT $4
            ) o
            ORDER BY w.at, o.seq"#,
            &tenants as &[&str],
            &names as &[&str],
            &seqs,
            i64::from(limit),
        );
        let mut found: Vec<(usize, OutboxRow)> = Vec::new();
        for row in rows.fetch_all(self.ledger.background()).await? {
            let at = Column::new("outbox_of_plans", "at").index(row.at, plans.len())?;
            // The rows of a plan are in the order of seq, so that its first one is the smallest.
            let smallest = found.last().filter(|(last, _)| *last == at).map(|(_, row)| row.smallest_seq);
            let mut row = outbox_row(row.id, row.plan_no, row.seq, row.seq)?;
            row.smallest_seq = smallest.unwrap_or(row.seq);
            found.push((at, row));
        }
        Ok(found)
    }

    /// Reads the events of rows, in the order of the rows: as many of the first ones as have `bytes` of payload and metadata
    /// together, but at least one.
    pub async fn events(
        self,
        rows: &[OutboxRow],
        bytes: u64,
    ) -> Result<Vec<(OutboxRow, Result<Record, Unsendable>)>, LedgerError> {
        let plan_nos: Vec<i64> = rows.iter().map(|row| row.plan_no).collect();
        let seqs: Vec<i64> = rows.iter().map(|row| bound(row.seq)).collect();
        let stored = select_records!(
            "outbox_events",
            with
            "WITH wanted AS MATERIALIZED (
                SELECT w.at, e.plan_no, e.seq,
                    greatest(e.payload_size, 0)::bigint + coalesce(octet_length(e.metadata::text), 0) AS size
                FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (plan_no, seq, at)
                JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = w.seq
            ), sized AS MATERIALIZED (
                SELECT a.at, a.plan_no, a.seq, sum(a.size) OVER (ORDER BY a.at) - a.size AS before FROM wanted a
            )",
            from
            "FROM sized s
            JOIN sealbus.events e ON e.plan_no = s.plan_no AND e.seq = s.seq
            JOIN sealbus.plans p ON p.plan_no = e.plan_no
            LEFT JOIN (SELECT NULL::bigint AS leaf_index) l ON true
            WHERE s.before < greatest($3::bigint, 1) ORDER BY s.at",
            &plan_nos,
            &seqs,
            bound(bytes)
        )
        .fetch_all(self.ledger.background())
        .await?;
        let origin = &self.ledger.deployment().origin;
        let record = |row: RecordRow| ((row.plan_no, row.seq), row.into_record(origin).map_err(Unsendable::Unreadable));
        let mut found: HashMap<(i64, Option<i64>), _> = stored.into_iter().map(record).collect();
        let mut event =
            |row: &OutboxRow| found.remove(&(row.plan_no, Some(bound(row.seq)))).unwrap_or(Err(Unsendable::Missing));
        let mut events: Vec<_> = rows.iter().map(|row| (*row, event(row))).collect();
        // Events after the last one found were cut off by `bytes`; they are not missing. If none was found, none was cut off.
        if let Some(last) = events.iter().rposition(|(_, event)| !matches!(event, Err(Unsendable::Missing))) {
            events.truncate(last + 1);
        }
        Ok(events)
    }

    /// Deletes the rows of acknowledged events and returns the ids of the deleted rows.
    ///
    /// A row is deleted only if the hash of its event is that of the acknowledged event. After a failover the id can belong to
    /// another event.
    pub async fn delete_acknowledged(self, acknowledged: &[Acknowledged<'_>]) -> Result<Vec<i64>, LedgerError> {
        let ids: Vec<i64> = acknowledged.iter().map(|ack| ack.id).collect();
        let hashes: Vec<&[u8]> = acknowledged.iter().map(|ack| ack.record.event_hash.as_bytes().as_slice()).collect();
        let deleted = sqlx::query_scalar!(
            "-- delete_acknowledged
            DELETE FROM sealbus.outbox o WHERE o.id = ANY (ARRAY (
                SELECT a.id FROM unnest($1::bigint[], $2::bytea[]) AS a (id, event_hash)
                CROSS JOIN LATERAL (SELECT o.plan_no, o.seq FROM sealbus.outbox o WHERE o.id = a.id OFFSET 0) o
                CROSS JOIN LATERAL (SELECT e.event_hash FROM sealbus.events e WHERE e.plan_no = o.plan_no AND e.seq = o.seq OFFSET 0) e
                WHERE e.event_hash = a.event_hash
            ))
            RETURNING o.id",
            &ids,
            &hashes as &[&[u8]],
        );
        Ok(deleted.fetch_all(self.ledger.background()).await?)
    }

    /// Returns the indexes in `acknowledged` of events that the ledger does not hold. The broker has an event that was never
    /// committed, or that a failover lost.
    pub async fn phantoms(self, acknowledged: &[Acknowledged<'_>]) -> Result<Vec<usize>, LedgerError> {
        let seqs: Vec<i64> = acknowledged.iter().map(|ack| bound(ack.record.header.seq)).collect();
        let tenants: Vec<&str> = acknowledged.iter().map(|ack| ack.record.header.tenant.as_str()).collect();
        let plans: Vec<&str> = acknowledged.iter().map(|ack| ack.record.header.plan.as_str()).collect();
        let hashes: Vec<&[u8]> = acknowledged.iter().map(|ack| ack.record.event_hash.as_bytes().as_slice()).collect();
        let ordinals = sqlx::query_scalar!(
            r#"-- phantoms
            SELECT a.at AS "at!"
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) WITH ORDINALITY AS a (tenant, plan, seq, event_hash, at)
            WHERE NOT EXISTS (
                SELECT FROM sealbus.plans p JOIN sealbus.events e ON e.plan_no = p.plan_no
                WHERE p.tenant = a.tenant AND p.plan = a.plan AND e.seq = a.seq AND e.event_hash = a.event_hash
            )"#,
            &tenants as &[&str],
            &plans as &[&str],
            &seqs,
            &hashes as &[&[u8]],
        );
        let ordinals = ordinals.fetch_all(self.ledger.background()).await?.into_iter();
        ordinals.map(|at| Column::new("phantoms", "at").index(at, acknowledged.len())).collect()
    }

    /// Returns the transactions that may be writing to the outbox now, by names that no later transaction gets. Once none of
    /// them appears in a later call, every row with an id that was drawn before this call is visible, or will never exist.
    pub async fn writers(self) -> Result<Vec<String>, LedgerError> {
        let lane = self.ledger.background();
        lane.within(async { writers(&mut *lane.acquire().await?, "sealbus.outbox").await }).await
    }

    /// Returns those of some partitions that have rows. Each partition is given with an id below which it has none.
    pub async fn with_rows(self, partitions: &[(u32, i64)]) -> Result<Vec<u32>, LedgerError> {
        let (partitions, from_ids) = low_water_bounds(partitions)?;
        let found = sqlx::query_scalar!(
            r#"-- outbox_partitions_with_rows
            SELECT w.partition AS "partition!" FROM unnest($1::integer[], $2::bigint[]) AS w (partition, from_id)
            CROSS JOIN LATERAL (
                SELECT FROM sealbus.outbox o WHERE o.partition = w.partition AND o.id >= w.from_id ORDER BY o.partition, o.id LIMIT 1
            ) o"#,
            &partitions,
            &from_ids,
        );
        let found = found.fetch_all(self.ledger.background()).await?.into_iter();
        found.map(|partition| PARTITION.read(partition)).collect()
    }

    /// Returns the sizes of some partitions, for metrics. Each partition is given with an id below which it has no rows. At most
    /// [`MAX_COUNTED_ROWS`] rows of each are counted.
    pub async fn depth(self, partitions: &[(u32, i64)]) -> Result<Vec<Depth>, LedgerError> {
        let (partitions, from_ids) = low_water_bounds(partitions)?;
        let rows = sqlx::query!(
            r#"-- outbox_depth
            SELECT w.partition AS "partition!", d.rows AS "rows!", coalesce(t.age, 0) AS "age!"
            FROM unnest($1::integer[], $2::bigint[]) AS w (partition, from_id)
            CROSS JOIN LATERAL (
                SELECT count(*) AS rows, min(c.id) AS first FROM (
                    SELECT o.id FROM sealbus.outbox o WHERE o.partition = w.partition AND o.id >= w.from_id
                    ORDER BY o.partition, o.id LIMIT $3
                ) c
            ) d
            LEFT JOIN LATERAL (
                SELECT extract(epoch FROM clock_timestamp() - e.recorded)::float8 AS age
                FROM sealbus.outbox o JOIN sealbus.events e ON e.plan_no = o.plan_no AND e.seq = o.seq WHERE o.id = d.first AND isfinite(e.recorded)
            ) t ON true"#,
            &partitions,
            &from_ids,
            MAX_COUNTED_ROWS,
        );
        let depths = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            let rows = Column::new("outbox", "count(*)").read(row.rows)?;
            Ok(Depth { partition: PARTITION.read(row.partition)?, rows, oldest_seconds: row.age.max(0.0) })
        });
        depths.collect()
    }

    /// Stores a beacon. If there is one for the same message already, that one stays as it is. It also deletes up to 100 beacons
    /// that are older than `retention`.
    pub async fn record_beacon(self, beacon: &Beacon<'_>, retention: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- record_beacon
            WITH expired AS (
                DELETE FROM sealbus.beacons b USING (
                    SELECT stream, created, stream_seq FROM sealbus.beacons
                    WHERE at <= statement_timestamp() - make_interval(secs => $6) ORDER BY at LIMIT 100
                ) old WHERE b.stream = old.stream AND b.created = old.created AND b.stream_seq = old.stream_seq
            )
            INSERT INTO sealbus.beacons (stream, created, stream_seq, msg_id, oldest_pending) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING",
            beacon.stream,
            beacon.created.to_offset(),
            Column::new("beacons", "stream_seq").bigint(beacon.stream_seq)?,
            beacon.msg_id,
            beacon.oldest_pending,
            retention.as_secs_f64(),
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }
}

/// Splits partitions and the ids below which they have no rows.
fn low_water_bounds(partitions: &[(u32, i64)]) -> Result<(Vec<i32>, Vec<i64>), LedgerError> {
    let bound = |(partition, from_id): &(u32, i64)| Ok((PARTITION.integer(*partition)?, *from_id));
    Ok(partitions.iter().map(bound).collect::<Result<Vec<_>, LedgerError>>()?.into_iter().unzip())
}

fn outbox_row(id: i64, plan_no: i64, seq: i64, smallest_seq: i64) -> Result<OutboxRow, LedgerError> {
    let column = SEQ.of_row(id);
    Ok(OutboxRow { id, plan_no, seq: column.read(seq)?, smallest_seq: column.read(smallest_seq)? })
}
