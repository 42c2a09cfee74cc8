//! The last statement of an append: the events, their rows of the outbox and their rows of the seal queue
//! (`docs/spec/protocol.md#append-5`).

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::event::Record;
use sqlx::PgConnection;

use super::call::Hint;
use super::locks::PlanState;
use crate::LedgerError;
use crate::pg::Column;

const PARTITION: Column = Column::new("plans", "partition");
const PLAN_NO: Column = Column::new("plans", "plan_no");

/// An event to insert.
pub(super) struct Row {
    /// The index of the event's plan in the batch.
    pub plan_index: usize,
    pub record: Arc<Record>,
}

/// Inserts the events of a batch, and their rows of the outbox and of the seal queue. Returns a hint for each event, ordered by
/// outbox id.
///
/// The rows of the queues are inserted in the order of (`plan_no`, `seq`), because their ids must rise with seq.
pub(super) async fn insert(
    connection: &mut PgConnection,
    plans: &mut [PlanState],
    partitions: u32,
    mut rows: Vec<Row>,
) -> Result<Vec<Hint>, LedgerError> {
    begin_plans(connection, plans, partitions, &rows).await?;
    // All batches insert in this one order. Otherwise two batches with the same ids could wait for each other.
    rows.sort_by(|a, b| {
        (a.record.header.event_id, &a.record.header.tenant).cmp(&(b.record.header.event_id, &b.record.header.tenant))
    });
    let plan_no = |row: &Row| {
        let plan = &plans[row.plan_index];
        plan.plan_no.ok_or_else(|| PLAN_NO.corrupt(format!("no number for {}/{}", plan.tenant, plan.plan)))
    };
    let partition = |row: &Row| plans[row.plan_index].key.partition(partitions);
    let seq = |row: &Row| Column::new("events", "seq").bigint(row.record.header.seq);
    let data_version = |row: &Row| Column::new("events", "data_version").integer(row.record.header.data_version);
    let payload_size = |row: &Row| Column::new("events", "payload_size").integer(row.record.header.payload_size);
    let plan_nos: Vec<i64> = rows.iter().map(plan_no).collect::<Result<_, _>>()?;
    let seqs: Vec<i64> = rows.iter().map(seq).collect::<Result<_, _>>()?;
    let inserted = sqlx::query!(
        r#"-- insert_events
        WITH stored AS (
            INSERT INTO sealbus.events (
                plan_no, seq, tenant, event_id, type, data_version, occurred, recorded, source, actor, correlation_id,
                causation_id, payload_mode, payload_size, payload_hash, metadata_hash, prev, kid, event_hash, mac, sig,
                request_mac, payload, metadata, v1_payload_hash, v1_prev_hash, v1_signature)
            SELECT e.plan_no, e.seq, e.tenant, e.event_id, e.type, e.data_version, e.occurred, e.recorded, e.source, e.actor,
                e.correlation_id, e.causation_id, e.payload_mode, e.payload_size, e.payload_hash, e.metadata_hash, e.prev, e.kid,
                e.event_hash, e.mac, e.sig, e.request_mac, e.payload::json, e.metadata::json, e.v1_payload_hash, e.v1_prev_hash,
                e.v1_signature
            FROM unnest($1::bigint[], $2::bigint[], $4::text[], $5::uuid[], $6::text[], $7::integer[], $8::timestamptz[],
                $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[], $14::smallint[], $15::integer[],
                $16::bytea[], $17::bytea[], $18::bytea[], $19::text[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[],
                $24::text[], $25::text[], $26::text[], $27::text[], $28::text[])
                AS e (plan_no, seq, tenant, event_id, type, data_version, occurred, recorded, source, actor, correlation_id,
                causation_id, payload_mode, payload_size, payload_hash, metadata_hash, prev, kid, event_hash, mac, sig,
                request_mac, payload, metadata, v1_payload_hash, v1_prev_hash, v1_signature)
        ), to_seal AS (
            INSERT INTO sealbus.seal_queue (plan_no, seq, event_hash)
            SELECT q.plan_no, q.seq, q.event_hash FROM unnest($1::bigint[], $2::bigint[], $20::bytea[]) AS q (plan_no, seq, event_hash)
            ORDER BY q.plan_no, q.seq
        )
        INSERT INTO sealbus.outbox (partition, plan_no, seq)
        SELECT q.partition, q.plan_no, q.seq FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS q (plan_no, seq, partition)
        ORDER BY q.plan_no, q.seq
        RETURNING id, plan_no, seq"#,
        &plan_nos,
        &seqs,
        &rows.iter().map(|row| PARTITION.integer(partition(row))).collect::<Result<Vec<_>, _>>()?,
        &column(&rows, |record| record.header.tenant.as_str()) as &[&str],
        &column(&rows, |record| record.header.event_id),
        &column(&rows, |record| record.header.event_type.as_str()) as &[&str],
        &rows.iter().map(data_version).collect::<Result<Vec<_>, _>>()?,
        &column(&rows, |record| record.header.occurred.to_offset()),
        &column(&rows, |record| record.header.recorded.to_offset()),
        &column(&rows, |record| record.header.source.as_str()) as &[&str],
        &column(&rows, |record| record.header.actor.as_str()) as &[&str],
        &column(&rows, |record| record.header.correlation_id.as_str()) as &[&str],
        &column(&rows, |record| record.header.causation_id.as_str()) as &[&str],
        &column(&rows, |record| i16::from(record.header.payload_mode.code())),
        &rows.iter().map(payload_size).collect::<Result<Vec<_>, _>>()?,
        &column(&rows, |record| record.header.payload_hash.as_bytes().as_slice()) as &[&[u8]],
        &column(&rows, |record| record.header.metadata_hash.as_bytes().as_slice()) as &[&[u8]],
        &column(&rows, |record| record.header.prev.as_bytes().as_slice()) as &[&[u8]],
        &column(&rows, |record| record.header.kid.as_str()) as &[&str],
        &column(&rows, |record| record.event_hash.as_bytes().as_slice()) as &[&[u8]],
        &column(&rows, |record| record.mac.as_slice()) as &[&[u8]],
        &column(&rows, |record| record.sig.as_slice()) as &[&[u8]],
        &column(&rows, |record| record.request_mac.as_slice()) as &[&[u8]],
        &column(&rows, |record| record.payload.as_deref()) as &[Option<&str>],
        &column(&rows, |record| record.metadata.as_str()) as &[&str],
        &column(&rows, |record| record.v1.as_ref().map(|v1| v1.payload_hash.as_str())) as &[Option<&str>],
        &column(&rows, |record| record.v1.as_ref().and_then(|v1| v1.prev_hash.as_deref())) as &[Option<&str>],
        &column(&rows, |record| record.v1.as_ref().map(|v1| v1.signature.as_str())) as &[Option<&str>],
    );
    let mut by_place: HashMap<(i64, i64), &Row> = plan_nos.into_iter().zip(seqs).zip(&rows).collect();
    let mut hints = Vec::with_capacity(rows.len());
    for queued in inserted.fetch_all(connection).await? {
        if let Some(row) = by_place.remove(&(queued.plan_no, queued.seq)) {
            hints.push(Hint { outbox_id: queued.id, partition: partition(row), record: row.record.clone() });
        }
    }
    hints.sort_by_key(|hint| hint.outbox_id);
    Ok(hints)
}

/// Returns a column of the rows to insert, which is how one statement takes many rows.
fn column<'a, T>(rows: &'a [Row], value: impl Fn(&'a Record) -> T) -> Vec<T> {
    rows.iter().map(|row| value(&row.record)).collect()
}

/// Gives numbers to the plans whose first event is in this batch.
async fn begin_plans(
    connection: &mut PgConnection,
    plans: &mut [PlanState],
    partitions: u32,
    rows: &[Row],
) -> Result<(), LedgerError> {
    let mut new: Vec<usize> = rows.iter().map(|row| row.plan_index).filter(|at| plans[*at].plan_no.is_none()).collect();
    new.sort_unstable();
    new.dedup();
    if new.is_empty() {
        return Ok(());
    }
    let plan_partitions: Vec<i32> =
        new.iter().map(|at| PARTITION.integer(plans[*at].key.partition(partitions))).collect::<Result<_, _>>()?;
    let begun = sqlx::query!(
        r#"-- begin_plans
        INSERT INTO sealbus.plans (tenant, plan, partition)
        SELECT * FROM unnest($1::text[], $2::text[], $3::integer[])
        RETURNING tenant, plan, plan_no"#,
        &new.iter().map(|at| plans[*at].tenant.as_str()).collect::<Vec<_>>() as &[&str],
        &new.iter().map(|at| plans[*at].plan.as_str()).collect::<Vec<_>>() as &[&str],
        &plan_partitions,
    );
    let numbers: HashMap<(String, String), i64> =
        begun.fetch_all(connection).await?.into_iter().map(|row| ((row.tenant, row.plan), row.plan_no)).collect();
    for at in new {
        let plan = &mut plans[at];
        plan.plan_no = numbers.get(&(plan.tenant.clone(), plan.plan.clone())).copied();
    }
    Ok(())
}
