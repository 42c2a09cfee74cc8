//! The first statements of an append: it takes the plans' locks, then reads their heads and the ids that are stored already
//! (`docs/spec/protocol.md#append-2`, `#append-3`), and locks the data keys of the batch.

use std::collections::{BTreeMap, HashSet};
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
use crate::LedgerError;
use crate::pg::{Column, set_lock_timeout};
use crate::stored_time::StoredTime;

/// The data keys of the batch that are locked and not closed, by tenant and key id.
pub(super) type OpenKeys = HashSet<(String, Uuid)>;

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
pub(super) struct LockedPlans {
    /// The distinct plans of the batch, ordered by key.
    pub plans: Vec<PlanState>,
    /// The places (`plan_no`, seq) of the events whose ids the batch has and that are stored already.
    pub known: Vec<(i64, i64)>,
    /// The database's clock, read after the locks.
    pub now: Timestamp,
}

/// Takes the locks and reads what they protect. With `lock_timeout` it waits at most that long for a plan that another
/// replica has locked. Without, it reports the plan as busy. `signer` is the key that seals the batch.
///
/// # Errors
/// [`LedgerError::SigningKey`] if the key may not sign.
pub(super) async fn lock(
    connection: &mut PgConnection,
    calls: &[Waiting],
    lock_timeout: Option<Duration>,
    signer: &KeyId,
) -> Result<LockedPlans, LedgerError> {
    if let Some(timeout) = lock_timeout {
        set_lock_timeout(connection, timeout).await?;
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
        SELECT plan_at, locked, plan_no, seq, event_hash, kid, recorded AS "recorded: StoredTime", v1_signature, now AS "now!", id_at
        FROM sealbus.lock_plans($1, $2, $3, $4, $5, $6, $7)"#,
        &tenants as &[&str],
        &names as &[&str],
        &keys,
        &ids.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>() as &[&str],
        &ids.iter().map(|(_, id)| *id).collect::<Vec<_>>(),
        lock_timeout.is_some(),
        signer.as_str(),
    )
    .fetch_all(connection)
    .await
    .map_err(|error| lock_error(error, signer))?;

    let mut known = Vec::new();
    let mut now = None;
    for row in rows {
        now = Some(Timestamp::from_offset(row.now));
        if let (Some(_), Some(plan_no), Some(seq)) = (row.id_at, row.plan_no, row.seq) {
            known.push((plan_no, seq));
        } else if let Some(at) = row.plan_at {
            let at = result_column("plan_at").index(at, plans.len())?;
            let plan = &mut plans[at];
            let v1 = row.v1_signature.map(|signature| V1 { payload_hash: String::new(), prev_hash: None, signature });
            let recorded = row.recorded.and_then(StoredTime::timestamp);
            plan.head = match (row.seq, row.event_hash.as_deref().and_then(Hash::from_slice), row.kid, recorded) {
                (Some(seq), Some(hash), Some(kid), Some(recorded)) => Some(Head {
                    seq: Column::new("events", "seq").read(seq)?,
                    hash,
                    kid: KeyId::new(kid),
                    recorded,
                    v1,
                }),
                (None, ..) => None,
                // The plan must not be taken for empty: that would begin it a second time.
                (Some(seq), ..) => {
                    let (tenant, plan) = (plan.tenant.clone(), plan.plan.clone());
                    let detail = "event_hash, kid or recorded is invalid; nothing can follow this event".to_owned();
                    return Err(LedgerError::Unreadable { tenant, plan, seq, detail });
                }
            };
            plan.locked = row.locked.ok_or_else(|| result_column("locked").corrupt("null for a plan"))?;
            plan.plan_no = row.plan_no;
        }
    }
    let now = now.ok_or_else(|| result_column("now").corrupt("the function returned no row"))?;
    Ok(LockedPlans { plans, known, now })
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

/// Locks the rows of the batch's data keys until the transaction ends, and returns the keys that exist and are not closed.
///
/// An erasure waits for the append, or the append finds the key closed. So no event is acknowledged that nobody can ever
/// read. The rows are locked in the order of the keys, as an erasure locks them, so that neither deadlocks. A batch without
/// encrypted events makes no round trip (`docs/spec/protocol.md#append-data-keys`).
pub(super) async fn lock_open_keys(connection: &mut PgConnection, calls: &[Waiting]) -> Result<OpenKeys, LedgerError> {
    let mut names: Vec<(&str, Uuid)> = Vec::new();
    for Waiting { call, .. } in calls {
        let ids = call.events.iter().filter_map(|draft| draft.encrypted.as_ref()).map(|under| under.key_id);
        names.extend(ids.map(|key_id| (call.tenant.as_str(), key_id)));
    }
    if names.is_empty() {
        return Ok(OpenKeys::new());
    }
    names.sort_unstable();
    names.dedup();
    let rows = sqlx::query!(
        "-- share_data_keys
        SELECT k.tenant, k.key_id FROM sealbus.data_keys k
        WHERE (k.tenant, k.key_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[])) AND NOT k.closed
        ORDER BY k.tenant, k.key_id FOR SHARE OF k",
        &names.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>() as &[&str],
        &names.iter().map(|(_, key_id)| *key_id).collect::<Vec<_>>(),
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.tenant, row.key_id)).collect())
}
