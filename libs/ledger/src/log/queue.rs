//! What a sealing transaction reads: queued events in the order of their ids, and the last leaves of their plans.

use std::collections::{HashMap, HashSet};

use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;

use super::Log;
use super::state::SealingState;
use crate::LedgerError;
use crate::history::record::RecordRow;
use crate::low_water::writers;

/// How many times `limit` ids may lie between the low-water bound and the highest id before the writers are read.
const MAX_DISTANCE: u64 = 4;

impl Log<'_> {
    /// Reads up to `limit` queued events from the low-water bound on, except for those of stopped plans, and moves the bound.
    pub(super) async fn queued(
        self,
        connection: &mut sqlx::PgConnection,
        limit: u32,
        state: &mut SealingState,
    ) -> Result<Vec<Queued>, LedgerError> {
        // The writers have to be read before the page (see `LowWater`).
        if state.low_water.needs_writers() && state.low_water.distance() >= MAX_DISTANCE * u64::from(limit) {
            let writers = writers(connection, "sealbus.seal_queue").await?;
            state.low_water.on_writers(state.low_water.highest_seen(), writers);
        }
        let queue = sqlx::query_as!(
            QueueRow,
            "-- queued
            SELECT id, plan_no, seq, event_hash FROM sealbus.seal_queue WHERE id >= $3 AND plan_no <> ALL ($1) ORDER BY id LIMIT $2",
            &state.stopped_plans(),
            i64::from(limit),
            state.queue_start(),
        )
        .fetch_all(&mut *connection)
        .await?;
        state.low_water.on_first_page(queue.first().map(|row| row.id), state.reads_all);
        for row in &queue {
            state.low_water.on_seen(row.id);
        }
        state.reads_all = false;
        with_events(connection, queue).await
    }

    /// Reads the number of leaves, and the last leaves of the plans of queued events.
    pub(super) async fn last_leaves(
        self,
        connection: &mut sqlx::PgConnection,
        queued: &[Queued],
    ) -> Result<LastLeaves, LedgerError> {
        let plan_nos: Vec<i64> = queued.iter().map(|row| row.plan_no).collect::<HashSet<_>>().into_iter().collect();
        let rows = sqlx::query!(
            r#"-- last_leaves
            SELECT w.plan_no AS "plan_no!", p.partition AS "partition?", l.seq AS "seq?", e.event_hash AS "event_hash?", e.kid AS "kid?"
            FROM unnest($1::bigint[]) AS w (plan_no)
            JOIN sealbus.plans p ON p.plan_no = w.plan_no
            LEFT JOIN LATERAL (SELECT l.seq FROM sealbus.log_leaves l WHERE l.plan_no = w.plan_no ORDER BY l.seq DESC LIMIT 1) l ON true
            LEFT JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = l.seq"#,
            &plan_nos,
        )
        .fetch_all(&mut *connection)
        .await?;
        let last_leaf = |partition, leaf_seq, hash: Option<Vec<u8>>, kid: Option<String>| {
            let event = hash.as_deref().and_then(Hash::from_slice).zip(kid.map(KeyId::new));
            LastLeaf { partition, leaf_seq, event }
        };
        let plans =
            rows.into_iter().map(|row| (row.plan_no, last_leaf(row.partition, row.seq, row.event_hash, row.kid)));
        Ok(LastLeaves { plans: plans.collect(), size: self.leaf_count(connection).await? })
    }
}

/// Reads the events of rows of the queue.
pub(super) async fn with_events(
    connection: &mut sqlx::PgConnection,
    queue: Vec<QueueRow>,
) -> Result<Vec<Queued>, LedgerError> {
    // A leaf consists of header and seal. The other columns are not read.
    let rows = sqlx::query_as!(
        RecordRow,
        r#"-- queued_events
        SELECT e.plan_no, e.tenant AS "tenant?", p.plan AS "plan?", e.seq AS "seq?", e.event_id AS "event_id?",
               e.type AS "event_type?", e.data_version AS "data_version?", e.occurred AS "occurred?: _",
               e.recorded AS "recorded?: _", e.source AS "source?", e.actor AS "actor?",
               e.correlation_id AS "correlation_id?", e.causation_id AS "causation_id?",
               e.payload_mode AS "payload_mode?", e.payload_size AS "payload_size?",
               e.payload_hash AS "payload_hash?", e.metadata_hash AS "metadata_hash?", e.prev AS "prev?",
               e.kid AS "kid?", e.event_hash AS "event_hash?", e.mac AS "mac?", e.sig AS "sig?",
               ''::bytea AS request_mac, NULL::text AS payload, '' AS metadata, NULL::text AS v1_payload_hash,
               NULL::text AS v1_prev_hash, NULL::text AS v1_signature, NULL::bigint AS log_index, NULL::bytea AS leaf_hash
        FROM unnest($1::bigint[], $2::bigint[]) AS q (plan_no, seq)
        JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
        JOIN sealbus.plans p ON p.plan_no = e.plan_no"#,
        &queue.iter().map(|row| row.plan_no).collect::<Vec<_>>(),
        &queue.iter().map(|row| row.seq).collect::<Vec<_>>()
    )
    .fetch_all(connection)
    .await?;
    let mut events: HashMap<(i64, Option<i64>), RecordRow> =
        rows.into_iter().map(|row| ((row.plan_no, row.seq), row)).collect();
    Ok(queue
        .into_iter()
        .map(|row| Queued {
            id: row.id,
            plan_no: row.plan_no,
            seq: row.seq,
            event_hash: row.event_hash,
            event: events.remove(&(row.plan_no, Some(row.seq))),
        })
        .collect())
}

/// A row of the seal queue.
pub(super) struct QueueRow {
    pub id: i64,
    pub plan_no: i64,
    pub seq: i64,
    pub event_hash: Option<Vec<u8>>,
}

/// A row of the seal queue with its event.
pub(super) struct Queued {
    pub id: i64,
    pub plan_no: i64,
    pub seq: i64,
    /// The hash of the event that was queued; `None` in rows of releases before migration 6.
    pub event_hash: Option<Vec<u8>>,
    /// The stored event; `None` if the ledger lacks it.
    pub event: Option<RecordRow>,
}

/// The last leaf of a plan.
pub(super) struct LastLeaf {
    /// The partition of the plan. `None` if the row of the plan is malformed.
    pub partition: Option<i32>,
    /// The seq of the leaf's event. `None` if the plan has no leaf.
    pub leaf_seq: Option<i64>,
    /// The hash and the key of the leaf's event. `None` if the ledger lacks the event.
    pub event: Option<(Hash, KeyId)>,
}

/// The end of the log.
pub(super) struct LastLeaves {
    /// The number of leaves.
    pub size: i64,
    /// The last leaves of some plans, by plan number.
    pub plans: HashMap<i64, LastLeaf>,
}
