//! The outbox: events that the broker has not acknowledged yet (PROTOCOL, Relay, rules 1, 3 and 4).
//!
//! A plan's rows appear in the order of their seqs and go after their acknowledgements. Two things follow, and the relay
//! rests on both: where a row is its plan's smallest **in the whole outbox**, all before it were acknowledged; and a row
//! that is gone was acknowledged. "Smallest" is asked by plan, in the snapshot that showed the row, never within a page.
//!
//! Ids rise within a plan, but across plans a transaction can commit below ids that were read before. So nobody keeps a
//! cursor over the outbox: the relay reads it from its start again and again, above a bound below which nothing can appear
//! any more. [`Outbox::writers`] is what lets that bound move.

use std::collections::HashMap;

use sealbus_core::event::Record;
use sealbus_core::timestamp::Timestamp;

use crate::history::record::select_records;
use crate::history::trail::signed;
use crate::{Ledger, LedgerError};

/// A row of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row.
    pub id: i64,
    /// The event's plan.
    pub plan_no: i64,
    /// The event's place in it.
    pub seq: u64,
    /// The smallest seq that the plan had in the whole outbox, in the same snapshot.
    pub smallest_seq: u64,
}

/// Why an event that is owed cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// The outbox names an event that the ledger does not hold.
    #[error("the ledger holds no such event")]
    Missing,
    /// The event's row was not written by Sealbus.
    #[error("its row cannot be read")]
    Unreadable(#[source] LedgerError),
}

/// How much a partition owes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// The partition.
    pub partition: u32,
    /// Its rows.
    pub rows: u64,
    /// Seconds since the event of its lowest row was recorded, by the database's clock; 0 where nothing is owed.
    pub oldest_seconds: f64,
}

/// An event as the broker acknowledged it.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a> {
    /// The outbox row that it was taken from, or that a hint named.
    pub id: i64,
    /// The event.
    pub record: &'a Record,
}

/// A message that the stream acknowledged at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// When the stream was created: one of the same name made anew is another stream.
    pub created: Timestamp,
    /// The place of the message in the stream.
    pub stream_seq: u64,
    /// Its `Nats-Msg-Id`.
    pub msg_id: &'a str,
    /// The lowest outbox row that the relay had not seen acknowledged; none where all were.
    pub oldest_pending: Option<i64>,
}

/// The events that the broker has not acknowledged yet. From [`Ledger::outbox`].
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Outbox<'_> {
    /// Rows of a partition from an id on, in order of their ids.
    pub async fn page(self, partition: u32, from_id: i64, limit: u32) -> Result<Vec<OutboxRow>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- outbox_page
            WITH page AS MATERIALIZED (
                SELECT o.id, o.plan_no, o.seq FROM sealbus.outbox o
                WHERE o.partition = $1 AND o.id >= $2 ORDER BY o.id LIMIT $3
            ), smallest AS MATERIALIZED (
                SELECT d.plan_no, (SELECT min(o.seq) FROM sealbus.outbox o WHERE o.plan_no = d.plan_no) AS seq
                FROM (SELECT DISTINCT plan_no FROM page) d
            )
            SELECT page.id, page.plan_no, page.seq, smallest.seq AS "smallest!" FROM page JOIN smallest USING (plan_no) ORDER BY page.id"#,
            number(partition),
            from_id,
            i64::from(limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let owed = rows.into_iter().map(|row| OutboxRow {
            id: row.id,
            plan_no: row.plan_no,
            seq: row.seq.unsigned_abs(),
            smallest_seq: row.smallest.unsigned_abs(),
        });
        Ok(owed.collect())
    }

    /// The lowest rows of some plans, given as (tenant, plan): up to `limit` of each, in order of their seqs, with the
    /// plan's place in `plans`. A plan without any is not in the answer.
    pub async fn of_plans(self, plans: &[(&str, &str)], limit: u32) -> Result<Vec<(usize, OutboxRow)>, LedgerError> {
        let (tenants, names): (Vec<&str>, Vec<&str>) = plans.iter().copied().unzip();
        let rows = sqlx::query!(
            r#"-- outbox_of_plans
            SELECT w.at AS "at!", p.plan_no, o.id, o.seq, o.smallest AS "smallest!"
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (tenant, plan, at)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            CROSS JOIN LATERAL (
                SELECT o.id, o.seq, (SELECT min(s.seq) FROM sealbus.outbox s WHERE s.plan_no = p.plan_no) AS smallest
                FROM sealbus.outbox o WHERE o.plan_no = p.plan_no ORDER BY o.seq LIMIT $3
            ) o
            ORDER BY w.at, o.seq"#,
            &tenants as &[&str],
            &names as &[&str],
            i64::from(limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let owed = rows.into_iter().map(|row| {
            let owed = OutboxRow {
                id: row.id,
                plan_no: row.plan_no,
                seq: row.seq.unsigned_abs(),
                smallest_seq: row.smallest.unsigned_abs(),
            };
            (usize::try_from(row.at - 1).unwrap_or(usize::MAX), owed)
        });
        Ok(owed.collect())
    }

    /// The events of rows, in their order: as many from the first on as come to `bytes` of payload and metadata, and one
    /// at least.
    pub async fn events(
        self,
        owed: &[OutboxRow],
        bytes: u64,
    ) -> Result<Vec<(OutboxRow, Result<Record, Unsendable>)>, LedgerError> {
        let plan_nos: Vec<i64> = owed.iter().map(|row| row.plan_no).collect();
        let seqs: Vec<i64> = owed.iter().map(|row| signed(row.seq)).collect();
        let rows = select_records!(
            "owed_events",
            "WITH asked AS MATERIALIZED (
                SELECT w.at, e.plan_no, e.seq, e.payload_size + pg_column_size(e.metadata) AS size
                FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (plan_no, seq, at)
                JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = w.seq
            ), sized AS MATERIALIZED (
                SELECT a.at, a.plan_no, a.seq, sum(a.size) OVER (ORDER BY a.at) - a.size AS before FROM asked a
            )",
            "FROM sized s
            JOIN sealbus.events e ON e.plan_no = s.plan_no AND e.seq = s.seq
            JOIN sealbus.plans p ON p.plan_no = e.plan_no
            LEFT JOIN (SELECT NULL::bigint AS leaf_index) l ON true
            WHERE s.before < greatest($3::bigint, 1) ORDER BY s.at",
            &plan_nos,
            &seqs,
            signed(bytes)
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let origin = &self.ledger.deployment().origin;
        let mut found: HashMap<(i64, i64), _> = rows
            .into_iter()
            .map(|row| ((row.plan_no, row.seq), row.into_record(origin).map_err(Unsendable::Unreadable)))
            .collect();
        let mut events: Vec<_> = owed
            .iter()
            .map(|row| (*row, found.remove(&(row.plan_no, signed(row.seq))).unwrap_or(Err(Unsendable::Missing))))
            .collect();
        // What lies beyond the last one found was cut off, and is not missing; where none was found, nothing was cut off.
        if let Some(last) = events.iter().rposition(|(_, event)| !matches!(event, Err(Unsendable::Missing))) {
            events.truncate(last + 1);
        }
        Ok(events)
    }

    /// Takes rows out whose events were acknowledged, and says which.
    ///
    /// A row goes only if its event is the one that was acknowledged, by its hash: after a failover an id can name another.
    pub async fn delete_acknowledged(self, acknowledged: &[Acknowledged<'_>]) -> Result<Vec<i64>, LedgerError> {
        let ids: Vec<i64> = acknowledged.iter().map(|ack| ack.id).collect();
        let hashes: Vec<&[u8]> = acknowledged.iter().map(|ack| ack.record.event_hash.as_bytes().as_slice()).collect();
        let deleted = sqlx::query_scalar!(
            "-- delete_acknowledged
            DELETE FROM sealbus.outbox o
            USING unnest($1::bigint[], $2::bytea[]) AS a (id, event_hash), sealbus.events e
            WHERE o.id = a.id AND e.plan_no = o.plan_no AND e.seq = o.seq AND e.event_hash = a.event_hash
            RETURNING o.id",
            &ids,
            &hashes as &[&[u8]],
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(deleted)
    }

    /// Which of these events, by their places here, the ledger does not hold: the broker has something that was never
    /// committed, or that a failover lost.
    pub async fn phantoms(self, acknowledged: &[Acknowledged<'_>]) -> Result<Vec<usize>, LedgerError> {
        let seqs: Vec<i64> = acknowledged.iter().map(|ack| signed(ack.record.header.seq)).collect();
        let tenants: Vec<&str> = acknowledged.iter().map(|ack| ack.record.header.tenant.as_str()).collect();
        let plans: Vec<&str> = acknowledged.iter().map(|ack| ack.record.header.plan.as_str()).collect();
        let hashes: Vec<&[u8]> = acknowledged.iter().map(|ack| ack.record.event_hash.as_bytes().as_slice()).collect();
        let places = sqlx::query_scalar!(
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
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(places.into_iter().filter_map(|at| usize::try_from(at - 1).ok()).collect())
    }

    /// The transactions that may at this moment be writing to the outbox, by names that no later transaction bears.
    ///
    /// Whoever writes a row holds the table's lock from before its id is drawn until its transaction is over and visible.
    /// So once none of the writers named here is named any more, every id that had been drawn before this was asked is of
    /// a finished transaction: a snapshot taken then shows the row, or nobody ever will.
    pub async fn writers(self) -> Result<Vec<String>, LedgerError> {
        let writers = sqlx::query_scalar!(
            r#"-- outbox_writers
            SELECT DISTINCT virtualtransaction AS "writer!" FROM pg_locks
            WHERE locktype = 'relation' AND relation = 'sealbus.outbox'::regclass AND mode = 'RowExclusiveLock' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"#,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(writers)
    }

    /// Keeps a beacon; one that is there already stays as it is.
    pub async fn record_beacon(self, beacon: &Beacon<'_>) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- record_beacon
            INSERT INTO sealbus.beacons (stream, created, stream_seq, msg_id, oldest_pending) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING",
            beacon.stream,
            beacon.created.to_offset(),
            signed(beacon.stream_seq),
            beacon.msg_id,
            beacon.oldest_pending,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// How much some partitions owe, and for how long. For metrics: it counts rows.
    pub async fn depth(self, partitions: &[u32]) -> Result<Vec<Depth>, LedgerError> {
        let partitions: Vec<i32> = partitions.iter().copied().map(number).collect();
        let rows = sqlx::query!(
            r#"-- outbox_depth
            SELECT w.partition AS "partition!", d.rows AS "rows!", coalesce(t.age, 0) AS "age!"
            FROM unnest($1::integer[]) AS w (partition)
            CROSS JOIN LATERAL (SELECT count(*) AS rows, min(o.id) AS first FROM sealbus.outbox o WHERE o.partition = w.partition) d
            LEFT JOIN LATERAL (
                SELECT extract(epoch FROM clock_timestamp() - e.recorded)::float8 AS age
                FROM sealbus.outbox o JOIN sealbus.events e ON e.plan_no = o.plan_no AND e.seq = o.seq WHERE o.id = d.first
            ) t ON true"#,
            &partitions,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let depth = rows.into_iter().map(|row| Depth {
            partition: row.partition.unsigned_abs(),
            rows: row.rows.unsigned_abs(),
            oldest_seconds: row.age.max(0.0),
        });
        Ok(depth.collect())
    }
}

/// Partitions are at most 64.
fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
