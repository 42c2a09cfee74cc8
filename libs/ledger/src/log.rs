//! The log: the one order over all events. Here each queued event gets its leaf and its dense index.
//!
//! The protocol's rules under "Seal": one sealer at a time, by a transaction lock taken as a statement of its own before any
//! read; queue rows are taken in the order of their ids, never by a watermark, and go by exact ids in the same transaction.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sealbus_core::event::{Header, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Suite, check_shape};

use crate::commit::commit;
use crate::record::{RecordRow, select_records};
use crate::trail::signed;
use crate::{Ledger, LedgerError};

/// The lock of whoever seals: non-negative, as all but the plans' are. The letters "seal".
const SEALER_LOCK: i64 = 0x7365_616c;

/// A plan that is not sealed further until somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedPlan {
    /// Its number.
    pub plan_no: i64,
    /// Its tenant, where known.
    pub tenant: String,
    /// Its name, where known.
    pub plan: String,
    /// The event that could not be taken.
    pub seq: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// What one sealing transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Leaves added.
    pub leaves: u64,
    /// Plans that stopped in this batch.
    pub stopped: Vec<StoppedPlan>,
    /// Whether another sealer held the lock, so that nothing was done.
    pub elsewhere: bool,
}

impl Ledger {
    /// Gives up to `limit` queued events their leaves, in one transaction.
    ///
    /// `stopped` are plans that earlier batches found wrong: their rows are left out, so that each stops alone. An event
    /// whose FORMAT, link, suite, hash or seq is wrong stops its plan and is not passed over.
    pub async fn seal_batch(&self, limit: u32, stopped: &HashSet<i64>) -> Result<Sealed, LedgerError> {
        let mut transaction = self.pool().begin().await?;
        let leads =
            sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "leads!" -- seal_lock"#, SEALER_LOCK)
                .fetch_one(&mut *transaction)
                .await?;
        if !leads {
            transaction.rollback().await?;
            return Ok(Sealed { elsewhere: true, ..Sealed::default() });
        }
        let queued = self.queued(&mut transaction, limit, stopped).await?;
        if queued.is_empty() {
            transaction.rollback().await?;
            return Ok(Sealed::default());
        }
        let mut batch = Batch::new(&self.deployment().origin, self.last_leaves(&mut transaction, &queued).await?);
        for row in queued {
            batch.take(row);
        }
        if !batch.leaves.is_empty() {
            self.add_leaves(&mut transaction, &batch).await?;
        }
        let Batch { leaves, stopped, .. } = batch;
        commit(transaction).await?;
        Ok(Sealed { leaves: leaves.len() as u64, stopped, elsewhere: false })
    }

    /// Leaves in the log.
    pub async fn log_size(&self) -> Result<u64, LedgerError> {
        let size = sqlx::query_scalar!(
            r#"-- log_size
            SELECT coalesce(max(leaf_index) + 1, 0) AS "size!" FROM sealbus.log_leaves WHERE log_id = $1"#,
            self.deployment().log_id,
        )
        .fetch_one(self.pool())
        .await?;
        Ok(size.unsigned_abs())
    }

    /// Waits, asking every `interval`, until all events that are queued now have their leaves. False where none of them got
    /// one for as long as `patience`: no sealer runs, or what is left belongs to plans that are wrong.
    pub async fn wait_until_sealed(&self, interval: Duration, patience: Duration) -> Result<bool, LedgerError> {
        let newest = sqlx::query_scalar!("-- newest_queued\nSELECT max(id) FROM sealbus.seal_queue")
            .fetch_one(self.pool())
            .await?;
        let Some(newest) = newest else { return Ok(true) };
        let (mut left, mut since) = (i64::MAX, Instant::now());
        loop {
            // A row that commits later with a lower id is waited for too: a little too long, never too short.
            let queued = sqlx::query_scalar!(
                r#"-- queued_up_to
                SELECT count(*) AS "queued!" FROM sealbus.seal_queue WHERE id <= $1"#,
                newest
            )
            .fetch_one(self.pool())
            .await?;
            if queued == 0 {
                return Ok(true);
            }
            if queued < left {
                (left, since) = (queued, Instant::now());
            } else if since.elapsed() > patience {
                return Ok(false);
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Events that have no leaf yet, and the age of the oldest in seconds.
    pub async fn seal_backlog(&self) -> Result<(u64, f64), LedgerError> {
        let row = sqlx::query!(
            r#"-- seal_backlog
            SELECT count(*) AS "waiting!",
                coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded)), 0)::float8 AS "oldest!"
            FROM sealbus.seal_queue q LEFT JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq"#
        )
        .fetch_one(self.pool())
        .await?;
        Ok((row.waiting.unsigned_abs(), row.oldest))
    }

    async fn queued(
        &self,
        connection: &mut sqlx::PgConnection,
        limit: u32,
        stopped: &HashSet<i64>,
    ) -> Result<Vec<Queued>, LedgerError> {
        let stopped: Vec<i64> = stopped.iter().copied().collect();
        let queue = sqlx::query!(
            "-- queued
            SELECT id, plan_no, seq FROM sealbus.seal_queue WHERE plan_no <> ALL ($1) ORDER BY id LIMIT $2",
            &stopped,
            i64::from(limit),
        )
        .fetch_all(&mut *connection)
        .await?;
        let rows = select_records!(
            "queued_events",
            "",
            "FROM unnest($1::bigint[], $2::bigint[]) AS q (plan_no, seq)
             JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
             JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq",
            &queue.iter().map(|row| row.plan_no).collect::<Vec<_>>(),
            &queue.iter().map(|row| row.seq).collect::<Vec<_>>()
        )
        .fetch_all(connection)
        .await?;
        let mut events: HashMap<(i64, i64), RecordRow> =
            rows.into_iter().map(|row| ((row.plan_no, row.seq), row)).collect();
        Ok(queue
            .into_iter()
            .map(|row| Queued {
                id: row.id,
                plan_no: row.plan_no,
                seq: row.seq,
                event: events.remove(&(row.plan_no, row.seq)),
            })
            .collect())
    }

    async fn last_leaves(
        &self,
        connection: &mut sqlx::PgConnection,
        queued: &[Queued],
    ) -> Result<LastLeaves, LedgerError> {
        let plan_nos: Vec<i64> = queued.iter().map(|row| row.plan_no).collect::<HashSet<_>>().into_iter().collect();
        let rows = sqlx::query!(
            r#"-- last_leaves
            SELECT w.plan_no AS "plan_no!", p.partition, l.seq AS "seq?", e.event_hash AS "event_hash?", e.kid AS "kid?"
            FROM unnest($1::bigint[]) AS w (plan_no)
            JOIN sealbus.plans p ON p.plan_no = w.plan_no
            LEFT JOIN LATERAL (SELECT l.seq FROM sealbus.log_leaves l WHERE l.plan_no = w.plan_no ORDER BY l.seq DESC LIMIT 1) l ON true
            LEFT JOIN sealbus.events e ON e.plan_no = w.plan_no AND e.seq = l.seq"#,
            &plan_nos,
        )
        .fetch_all(&mut *connection)
        .await?;
        let size = sqlx::query_scalar!(
            r#"-- seal_size
            SELECT coalesce(max(leaf_index) + 1, 0) AS "size!" FROM sealbus.log_leaves WHERE log_id = $1"#,
            self.deployment().log_id,
        )
        .fetch_one(connection)
        .await?;
        let plans = rows
            .into_iter()
            .map(|row| {
                let last = match (row.seq, row.event_hash.as_deref().and_then(Hash::from_slice), row.kid) {
                    (Some(seq), Some(hash), Some(kid)) => Some((seq, hash, KeyId::new(kid))),
                    _ => None,
                };
                (row.plan_no, LastLeaf { partition: row.partition, leaf_seq: row.seq, event: last })
            })
            .collect();
        Ok(LastLeaves { size, plans })
    }

    async fn add_leaves(&self, connection: &mut sqlx::PgConnection, batch: &Batch<'_>) -> Result<(), LedgerError> {
        let leaves = &batch.leaves;
        sqlx::query!(
            "-- add_leaves
            INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash)
            SELECT $1, l.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bytea[]) AS l",
            self.deployment().log_id,
            &leaves.iter().map(|leaf| leaf.index).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.plan_no).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.partition).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.hash.as_bytes().as_slice()).collect::<Vec<_>>() as &[&[u8]],
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "-- sealed\nDELETE FROM sealbus.seal_queue WHERE id = ANY ($1)",
            &leaves.iter().map(|leaf| leaf.queue_id).collect::<Vec<_>>()
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

struct Queued {
    id: i64,
    plan_no: i64,
    seq: i64,
    event: Option<RecordRow>,
}

struct LastLeaf {
    partition: i32,
    leaf_seq: Option<i64>,
    /// The event of the plan's last leaf: seq, hash, key.
    event: Option<(i64, Hash, KeyId)>,
}

struct LastLeaves {
    size: i64,
    plans: HashMap<i64, LastLeaf>,
}

struct NewLeaf {
    queue_id: i64,
    index: i64,
    plan_no: i64,
    seq: i64,
    partition: i32,
    hash: Hash,
}

/// Leaves in the making.
struct Batch<'a> {
    origin: &'a str,
    last: LastLeaves,
    leaves: Vec<NewLeaf>,
    stopped: Vec<StoppedPlan>,
}

impl<'a> Batch<'a> {
    fn new(origin: &'a str, last: LastLeaves) -> Self {
        Self { origin, last, leaves: Vec::new(), stopped: Vec::new() }
    }

    fn take(&mut self, row: Queued) {
        if self.stopped.iter().any(|stopped| stopped.plan_no == row.plan_no) {
            return;
        }
        let (tenant, plan) =
            row.event.as_ref().map_or_else(Default::default, |event| (event.tenant.clone(), event.plan.clone()));
        match self.leaf(row.plan_no, row.seq, row.event) {
            Ok((partition, record)) => {
                self.leaves.push(NewLeaf {
                    queue_id: row.id,
                    index: self.last.size,
                    plan_no: row.plan_no,
                    seq: row.seq,
                    partition,
                    hash: record.leaf_hash(),
                });
                self.last.size += 1;
            }
            Err(reason) => self.stopped.push(StoppedPlan { plan_no: row.plan_no, tenant, plan, seq: row.seq, reason }),
        }
    }

    /// Checks that the event is its plan's next and moves the plan's last leaf.
    fn leaf(&mut self, plan_no: i64, seq: i64, event: Option<RecordRow>) -> Result<(i32, Record), String> {
        let Some(last) = self.last.plans.get_mut(&plan_no) else { return Err("its plan is not in the ledger".into()) };
        let expected = last.leaf_seq.unwrap_or(0) + 1;
        if seq != expected {
            return Err(format!("the plan's next leaf is of seq {expected}"));
        }
        let event = event.ok_or("the event is not in the ledger")?;
        let record = event.into_record(self.origin).map_err(|error| error.to_string())?;
        let header = &record.header;
        if header.seq != u64::try_from(seq).unwrap_or_default() || signed(header.seq) != seq {
            return Err("seq is out of range".into());
        }
        header.validate().map_err(|error| format!("FORMAT: {error}"))?;
        let prev = match (&last.event, last.leaf_seq) {
            (Some((_, hash, _)), _) => *hash,
            (None, None) => Header::genesis(self.origin, &header.tenant, &header.plan),
            (None, Some(_)) => return Err("the event of the plan's last leaf is not in the ledger".into()),
        };
        if header.prev != prev {
            return Err("LINK: prev is not the event before".into());
        }
        let suite = check_shape(&header.kid, &record.mac, &record.sig)
            .map_err(|verdict| format!("{verdict}: the seal is not of the key's suite"))?;
        if suite == Suite::Hmac && last.event.as_ref().is_some_and(|(_, _, kid)| kid.suite() == Some(Suite::Ed25519)) {
            return Err("SUITE: a MAC after a signature".into());
        }
        if header.hash() != record.event_hash {
            return Err("EVENT_HASH: the header does not hash to it".into());
        }
        last.leaf_seq = Some(seq);
        last.event = Some((seq, record.event_hash, header.kid.clone()));
        Ok((last.partition, record))
    }
}
