//! The first statement of an append: it takes the plans' locks, then reads their heads and the ids that are stored already
//! (`docs/spec/protocol.md#append-2`, `#append-3`).

use std::collections::BTreeMap;
use std::time::Duration;

use sealbus_core::event::V1;
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::queue::Waiting;
use super::signing::lock_error;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// The treatment of a plan that another replica has locked.
#[derive(Clone, Copy)]
pub(super) enum Locking {
    /// Report the plan as busy.
    Try,
    /// Wait for the lock, at most this long.
    Wait(Duration),
}

/// A plan of the batch.
#[derive(Debug, Clone)]
pub(super) struct PlanState {
    pub tenant: String,
    pub plan: String,
    pub key: PlanKey,
    /// `None` until the plan has an event.
    pub plan_no: Option<i64>,
    pub head: Option<Head>,
    /// `false` if another replica has the plan's lock.
    pub locked: bool,
}

impl PlanState {
    /// Returns the state of a plan about which nothing was read yet.
    pub(super) fn empty(tenant: &str, plan: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            key: PlanKey::of(tenant, plan),
            plan_no: None,
            head: None,
            locked: false,
        }
    }
}

/// The fields of a plan's last event that the next event depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub hash: Hash,
    pub kid: KeyId,
    pub recorded: Timestamp,
    /// The v1 columns, if the plan carries scheme v1.
    pub v1: Option<V1>,
}

/// The rows that were read after the locks were taken.
pub(super) struct Locked {
    /// The distinct plans of the batch, ordered by key.
    pub plans: Vec<PlanState>,
    /// The stored ids of the batch: (tenant, id, `plan_no`, seq).
    pub known: Vec<(String, Uuid, i64, i64)>,
    /// The database's clock, read after the locks.
    pub now: Timestamp,
}

/// Takes the locks and reads what they protect. `signer` is the key that seals the batch.
///
/// # Errors
/// [`LedgerError::SigningKey`] if the key may not sign.
pub(super) async fn lock(
    connection: &mut PgConnection,
    calls: &[Waiting],
    locking: Locking,
    signer: &KeyId,
) -> Result<Locked, LedgerError> {
    if let Locking::Wait(timeout) = locking {
        let milliseconds = timeout.as_millis().to_string();
        sqlx::query!("-- lock_timeout\nSELECT set_config('lock_timeout', $1, true) AS set", milliseconds)
            .fetch_one(&mut *connection)
            .await?;
    }
    let mut plans = distinct(calls);
    let tenants: Vec<&str> = plans.iter().map(|plan| plan.tenant.as_str()).collect();
    let names: Vec<&str> = plans.iter().map(|plan| plan.plan.as_str()).collect();
    let keys: Vec<i64> = plans.iter().map(|plan| plan.key.lock_key()).collect();
    let ids: Vec<(&str, Uuid)> = calls
        .iter()
        .flat_map(|waiting| waiting.call.events.iter().map(|draft| (waiting.call.tenant.as_str(), draft.event_id)))
        .collect();
    let rows = sqlx::query!(
        r#"-- lock_plans
        SELECT plan_at, locked, plan_no, seq, event_hash, kid, recorded, v1_signature, now AS "now!", id_at
        FROM sealbus.lock_plans($1, $2, $3, $4, $5, $6, $7)"#,
        &tenants as &[&str],
        &names as &[&str],
        &keys,
        &ids.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>() as &[&str],
        &ids.iter().map(|(_, id)| *id).collect::<Vec<_>>(),
        matches!(locking, Locking::Wait(_)),
        signer.as_str(),
    )
    .fetch_all(connection)
    .await
    .map_err(|error| lock_error(error, signer))?;

    let mut known = Vec::new();
    let mut now = None;
    for row in rows {
        now = Some(Timestamp::from_offset(row.now));
        if let (Some(at), Some(plan_no), Some(seq)) = (row.id_at, row.plan_no, row.seq) {
            let (tenant, id) = ids[result_column("id_at").index(at, ids.len())?];
            known.push((tenant.to_owned(), id, plan_no, seq));
        } else if let Some(at) = row.plan_at {
            let at = result_column("plan_at").index(at, plans.len())?;
            let plan = &mut plans[at];
            let v1 = row.v1_signature.map(|signature| V1 { payload_hash: String::new(), prev_hash: None, signature });
            plan.head = match (row.seq, row.event_hash.as_deref().and_then(Hash::from_slice), row.kid, row.recorded) {
                (Some(seq), Some(hash), Some(kid), Some(recorded)) => Some(Head {
                    seq: Column::new("events", "seq").read(seq)?,
                    hash,
                    kid: KeyId::new(kid),
                    recorded: Timestamp::from_offset(recorded),
                    v1,
                }),
                (None, ..) => None,
                // The plan must not be taken for empty: that would begin it a second time.
                (Some(seq), ..) => {
                    return Err(LedgerError::Unreadable {
                        tenant: plan.tenant.clone(),
                        plan: plan.plan.clone(),
                        seq,
                        detail: "event_hash is not 32 bytes long; nothing can follow this event".to_owned(),
                    });
                }
            };
            plan.locked = row.locked.ok_or_else(|| result_column("locked").corrupt("null for a plan"))?;
            plan.plan_no = row.plan_no;
        }
    }
    let now = now.ok_or_else(|| result_column("now").corrupt("the function returned no row"))?;
    Ok(Locked { plans, known, now })
}

fn result_column(name: &'static str) -> Column {
    Column::new("lock_plans()", name)
}

/// Returns the distinct plans of a batch, ordered by key. All replicas lock in this order, so that none deadlocks.
fn distinct(calls: &[Waiting]) -> Vec<PlanState> {
    let mut plans = BTreeMap::new();
    for Waiting { call, key, .. } in calls {
        let (tenant, plan) = (call.tenant.as_str(), call.plan.as_str());
        plans.entry((key.lock_key(), tenant, plan)).or_insert_with(|| PlanState::empty(tenant, plan));
    }
    plans.into_values().collect()
}

/// Returns the number of locks that the server's lock table has room for.
pub(super) async fn lock_table_size(ledger: &Ledger) -> Result<u64, LedgerError> {
    let row = sqlx::query!(
        r#"-- table_size
        SELECT current_setting('max_locks_per_transaction')::bigint * current_setting('max_connections')::bigint AS "size!""#
    )
    .fetch_one(ledger.pool())
    .await?;
    Column::new("pg_settings", "max_locks_per_transaction * max_connections").read(row.size)
}
