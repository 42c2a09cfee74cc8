//! The last statement of an append: the events, their rows of the outbox and their rows of the seal queue
//! (`docs/spec/protocol.md#append-5`).

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::event::Record;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

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

/// A row to insert whose plan has a number.
struct Numbered {
    plan_no: i64,
    partition: u32,
    record: Arc<Record>,
}

/// Inserts the events of a batch. Returns a hint for each, ordered by outbox id.
pub(super) async fn insert(
    connection: &mut PgConnection,
    plans: &mut [PlanState],
    partitions: u32,
    rows: Vec<Row>,
) -> Result<Vec<Hint>, LedgerError> {
    begin_plans(connection, plans, partitions, &rows).await?;
    let numbered = rows.into_iter().map(|Row { plan_index, record }| {
        let plan = &plans[plan_index];
        let unnumbered = || PLAN_NO.corrupt(format!("no number for {}/{}", plan.tenant, plan.plan));
        Ok(Numbered {
            plan_no: plan.plan_no.ok_or_else(unnumbered)?,
            partition: plan.key.partition(partitions),
            record,
        })
    });
    let mut rows: Vec<Numbered> = numbered.collect::<Result<_, LedgerError>>()?;
    // All batches insert in this one order. Otherwise two batches with the same ids could wait for each other.
    rows.sort_by(|a, b| {
        (a.record.header.event_id, &a.record.header.tenant).cmp(&(b.record.header.event_id, &b.record.header.tenant))
    });
    let mut columns = Columns::with_capacity(rows.len());
    for row in &rows {
        columns.push(row)?;
    }
    let queued = columns.insert(connection).await?;

    let mut inserted: HashMap<(i64, i64), &Numbered> =
        rows.iter().zip(&columns.seq).map(|(row, seq)| ((row.plan_no, *seq), row)).collect();
    let mut hints = Vec::with_capacity(queued.len());
    for Queued { id, plan_no, seq } in queued {
        if let Some(Numbered { partition, record, .. }) = inserted.remove(&(plan_no, seq)) {
            hints.push(Hint { outbox_id: id, partition: *partition, record: record.clone() });
        }
    }
    hints.sort_by_key(|hint| hint.outbox_id);
    Ok(hints)
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
    let numbers = sqlx::query!(
        r#"-- begin_plans
        INSERT INTO sealbus.plans (tenant, plan, partition)
        SELECT * FROM unnest($1::text[], $2::text[], $3::integer[])
        RETURNING tenant, plan, plan_no"#,
        &new.iter().map(|at| plans[*at].tenant.as_str()).collect::<Vec<_>>() as &[&str],
        &new.iter().map(|at| plans[*at].plan.as_str()).collect::<Vec<_>>() as &[&str],
        &plan_partitions,
    )
    .fetch_all(connection)
    .await?;
    let numbers: HashMap<(String, String), i64> =
        numbers.into_iter().map(|row| ((row.tenant, row.plan), row.plan_no)).collect();
    for at in new {
        let plan = &mut plans[at];
        plan.plan_no = numbers.get(&(plan.tenant.clone(), plan.plan.clone())).copied();
    }
    Ok(())
}

/// A row of the outbox, as the statement returns it.
struct Queued {
    id: i64,
    plan_no: i64,
    seq: i64,
}

/// The rows to insert, column by column, which is how one statement takes many rows.
#[derive(Default)]
struct Columns<'a> {
    plan_no: Vec<i64>,
    partition: Vec<i32>,
    seq: Vec<i64>,
    tenant: Vec<&'a str>,
    event_id: Vec<Uuid>,
    event_type: Vec<&'a str>,
    data_version: Vec<i32>,
    occurred: Vec<OffsetDateTime>,
    recorded: Vec<OffsetDateTime>,
    source: Vec<&'a str>,
    actor: Vec<&'a str>,
    correlation_id: Vec<&'a str>,
    causation_id: Vec<&'a str>,
    payload_mode: Vec<i16>,
    payload_size: Vec<i32>,
    payload_hash: Vec<&'a [u8]>,
    metadata_hash: Vec<&'a [u8]>,
    prev: Vec<&'a [u8]>,
    kid: Vec<&'a str>,
    event_hash: Vec<&'a [u8]>,
    mac: Vec<&'a [u8]>,
    sig: Vec<&'a [u8]>,
    request_mac: Vec<&'a [u8]>,
    payload: Vec<Option<&'a str>>,
    metadata: Vec<&'a str>,
    v1_payload_hash: Vec<Option<&'a str>>,
    v1_prev_hash: Vec<Option<&'a str>>,
    v1_signature: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn with_capacity(rows: usize) -> Self {
        Self { plan_no: Vec::with_capacity(rows), payload: Vec::with_capacity(rows), ..Self::default() }
    }

    fn push(&mut self, row: &'a Numbered) -> Result<(), LedgerError> {
        let (record, header) = (&row.record, &row.record.header);
        self.plan_no.push(row.plan_no);
        self.partition.push(PARTITION.integer(row.partition)?);
        self.seq.push(Column::new("events", "seq").bigint(header.seq)?);
        self.tenant.push(&header.tenant);
        self.event_id.push(header.event_id);
        self.event_type.push(&header.event_type);
        self.data_version.push(Column::new("events", "data_version").integer(header.data_version)?);
        self.occurred.push(header.occurred.to_offset());
        self.recorded.push(header.recorded.to_offset());
        self.source.push(&header.source);
        self.actor.push(&header.actor);
        self.correlation_id.push(&header.correlation_id);
        self.causation_id.push(&header.causation_id);
        self.payload_mode.push(i16::from(header.payload_mode.code()));
        self.payload_size.push(Column::new("events", "payload_size").integer(header.payload_size)?);
        self.payload_hash.push(header.payload_hash.as_bytes());
        self.metadata_hash.push(header.metadata_hash.as_bytes());
        self.prev.push(header.prev.as_bytes());
        self.kid.push(header.kid.as_str());
        self.event_hash.push(record.event_hash.as_bytes());
        self.mac.push(&record.mac);
        self.sig.push(&record.sig);
        self.request_mac.push(&record.request_mac);
        self.payload.push(record.payload.as_deref());
        self.metadata.push(&record.metadata);
        let v1 = record.v1.as_ref();
        self.v1_payload_hash.push(v1.map(|v1| v1.payload_hash.as_str()));
        self.v1_prev_hash.push(v1.and_then(|v1| v1.prev_hash.as_deref()));
        self.v1_signature.push(v1.map(|v1| v1.signature.as_str()));
        Ok(())
    }

    /// Inserts the events in the order of the columns, and the rows of the outbox and of the seal queue in the order of
    /// (`plan_no`, `seq`), because their ids must rise with seq.
    async fn insert(&self, connection: &mut PgConnection) -> Result<Vec<Queued>, LedgerError> {
        let queued = sqlx::query_as!(
            Queued,
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
            &self.plan_no,
            &self.seq,
            &self.partition,
            &self.tenant as &[&str],
            &self.event_id,
            &self.event_type as &[&str],
            &self.data_version,
            &self.occurred,
            &self.recorded,
            &self.source as &[&str],
            &self.actor as &[&str],
            &self.correlation_id as &[&str],
            &self.causation_id as &[&str],
            &self.payload_mode,
            &self.payload_size,
            &self.payload_hash as &[&[u8]],
            &self.metadata_hash as &[&[u8]],
            &self.prev as &[&[u8]],
            &self.kid as &[&str],
            &self.event_hash as &[&[u8]],
            &self.mac as &[&[u8]],
            &self.sig as &[&[u8]],
            &self.request_mac as &[&[u8]],
            &self.payload as &[Option<&str>],
            &self.metadata as &[&str],
            &self.v1_payload_hash as &[Option<&str>],
            &self.v1_prev_hash as &[Option<&str>],
            &self.v1_signature as &[Option<&str>],
        )
        .fetch_all(connection)
        .await?;
        Ok(queued)
    }
}
