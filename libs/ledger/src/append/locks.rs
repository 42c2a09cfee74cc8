//! The first statement of an append: take the plans' locks, then read their heads and the ids that are stored already.

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
use crate::keys::refused_key;
use crate::{Ledger, LedgerError};

/// What to do about a plan that another replica has locked.
#[derive(Clone, Copy)]
pub(super) enum Locking {
    /// Leave it out of this batch.
    Try,
    /// Wait for it, this long.
    Wait(Duration),
}

/// A plan of the batch.
#[derive(Debug, Clone)]
pub(super) struct PlanState {
    pub tenant: String,
    pub plan: String,
    pub key: PlanKey,
    /// None until the plan's first event.
    pub plan_no: Option<i64>,
    pub head: Option<Head>,
    /// False where another replica holds its lock.
    pub locked: bool,
}

impl PlanState {
    /// A plan of which nothing is known yet.
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

/// A plan's last event, as far as the next one needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub hash: Hash,
    pub kid: KeyId,
    pub recorded: Timestamp,
    /// Its v1 columns, where the plan carries scheme v1.
    pub v1: Option<V1>,
}

/// What the locks let be read.
pub(super) struct Locked {
    /// Distinct plans, in the order of their keys.
    pub plans: Vec<PlanState>,
    /// Where the ids of the batch that are stored stand: (tenant, id, `plan_no`, seq).
    pub known: Vec<(String, Uuid, i64, i64)>,
    /// The database's clock, read after the locks.
    pub now: Timestamp,
}

/// Takes the locks and reads what they protect; `signer` is the key that the batch will be sealed by.
///
/// # Errors
/// [`LedgerError::SigningKey`] where that key may not sign, or not any more.
pub(super) async fn lock(
    connection: &mut PgConnection,
    calls: &[Waiting],
    locking: Locking,
    signer: &KeyId,
) -> Result<Locked, LedgerError> {
    if let Locking::Wait(longest) = locking {
        let milliseconds = longest.as_millis().to_string();
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
    .map_err(|error| refused_key(error, signer))?;

    let mut known = Vec::new();
    let mut now = None;
    for row in rows {
        now = Some(Timestamp::from_offset(row.now));
        if let (Some(at), Some(plan_no), Some(seq)) = (row.id_at, row.plan_no, row.seq) {
            let (tenant, id) = ids[index(at)];
            known.push((tenant.to_owned(), id, plan_no, seq));
        } else if let Some(at) = row.plan_at {
            let head = match (row.seq, row.event_hash.as_deref().and_then(Hash::from_slice), row.kid, row.recorded) {
                (Some(seq), Some(hash), Some(kid), Some(recorded)) => Some(Head {
                    seq: seq.unsigned_abs(),
                    hash,
                    kid: KeyId::new(kid),
                    recorded: Timestamp::from_offset(recorded),
                    v1: row.v1_signature.map(|signature| V1 {
                        payload_hash: String::new(),
                        prev_hash: None,
                        signature,
                    }),
                }),
                (None, ..) => None,
                // To take the plan for empty would begin it a second time.
                (Some(seq), ..) => {
                    let PlanState { tenant, plan, .. } = &plans[index(at)];
                    let detail = "the plan's head is not of its form, so nothing can follow it".to_owned();
                    return Err(LedgerError::Unreadable { tenant: tenant.clone(), plan: plan.clone(), seq, detail });
                }
            };
            let plan = &mut plans[index(at)];
            plan.locked = row.locked.unwrap_or(false);
            plan.plan_no = row.plan_no;
            plan.head = head;
        }
    }
    let now = now.ok_or_else(|| LedgerError::UnknownCommit("sealbus.lock_plans gave no row".into()))?;
    Ok(Locked { plans, known, now })
}

/// The statement counts from 1.
fn index(at: i32) -> usize {
    usize::try_from(at - 1).unwrap_or_default()
}

/// The plans of a batch, once each, in the order of their keys: one order for all replicas, so that none deadlocks.
fn distinct(calls: &[Waiting]) -> Vec<PlanState> {
    let mut plans = BTreeMap::new();
    for Waiting { call, key, .. } in calls {
        let (tenant, plan) = (call.tenant.as_str(), call.plan.as_str());
        plans.entry((key.lock_key(), tenant, plan)).or_insert_with(|| PlanState::empty(tenant, plan));
    }
    plans.into_values().collect()
}

/// Locks that the server's table has room for: `max_locks_per_transaction` × `max_connections`.
pub(super) async fn table_size(ledger: &Ledger) -> Result<u64, LedgerError> {
    let row = sqlx::query!(
        r#"-- table_size
        SELECT current_setting('max_locks_per_transaction')::bigint * current_setting('max_connections')::bigint AS "size!""#
    )
    .fetch_one(ledger.pool())
    .await?;
    Ok(row.size.unsigned_abs())
}
