//! The keys that may sign, the number of processes that sign with each key, and their events that are not sealed yet.

use std::collections::BTreeMap;
use std::time::Duration;

use sealbus_core::seal::KeyId;
use sqlx::PgExecutor;

use super::Keys;
use crate::LedgerError;
use crate::append::{KeyRefused, KeyState};
use crate::commit::commit;
use crate::log::StoppedPlan;
use crate::pg::{Column, set_lock_timeout};

/// How long ending a key waits for the transactions that use it. Postgres ends an idle one after 5 s.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15);

/// How far in the future the membership of a signer can expire: twice the highest lease that a process may have. A row that expires
/// later was not written by a process of Sealbus.
const LONGEST_MEMBERSHIP: Duration = Duration::from_mins(10);

/// The number of plans that are checked at once.
const MAX_CHECKED_PLANS: i64 = 1_000;

/// The ways in which a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Another key replaces the key.
    Retire,
    /// The key is not trusted any more.
    Revoke,
}

/// The events of a key that are not sealed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySealing {
    /// The number of events that still get their leaves, in up to 1,000 plans; not 0 if there are more plans.
    pub waiting: u64,
    /// The plans with events of the key whose sealing has stopped.
    pub stopped: Vec<StoppedPlan>,
}

impl Keys<'_> {
    /// Returns the states of all keys that the database knows.
    pub async fn states(self) -> Result<BTreeMap<KeyId, KeyState>, LedgerError> {
        let rows = sqlx::query!("-- signing_keys\nSELECT kid, standing FROM sealbus.signing_keys ORDER BY kid");
        let rows = rows.fetch_all(self.ledger.background()).await?;
        rows.into_iter().map(|row| Ok((KeyId::new(row.kid), KeyState::stored(&row.standing)?))).collect()
    }

    /// Checks that a key may sign, before something has to be appended: at the start of a process.
    ///
    /// # Errors
    /// [`LedgerError::SigningKey`] if it may not, with the same text as a refused append.
    pub async fn check(self, kid: &KeyId) -> Result<(), LedgerError> {
        let state = self.states().await?.get(kid).copied();
        KeyRefused::of(kid, state).map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Lets a key sign. The caller has seen that the event in plan `_keys` that adds the key is sealed. A key that was ended
    /// stays ended.
    pub async fn allow(self, kid: &KeyId) -> Result<(), LedgerError> {
        allow_first(self.ledger.background(), kid).await
    }

    /// Ends a key: when this returns, nothing is appended under it any more. Waits for the transactions that append under it,
    /// which commit.
    ///
    /// A retired key can be revoked; a revoked key stays revoked.
    ///
    /// # Errors
    /// [`LedgerError::Rejected`] if a transaction uses the key for more than 15 s.
    pub async fn end(self, kid: &KeyId, ending: Ending) -> Result<(), LedgerError> {
        let lane = self.ledger.background();
        lane.within_deadline(LOCK_TIMEOUT + lane.deadline(), self.end_once(kid, ending)).await
    }

    async fn end_once(self, kid: &KeyId, ending: Ending) -> Result<(), LedgerError> {
        let state = match ending {
            Ending::Retire => KeyState::Retired,
            Ending::Revoke => KeyState::Revoked,
        };
        let mut transaction = self.ledger.background().begin().await?;
        set_lock_timeout(&mut transaction, LOCK_TIMEOUT).await?;
        sqlx::query!(
            "-- end_signing_lock\nSELECT pg_advisory_xact_lock(sealbus.signing_lock($1)) AS locked",
            kid.as_str()
        )
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query!(
            "-- end_signing
            INSERT INTO sealbus.signing_keys AS k (kid, standing) VALUES ($1, $2)
            ON CONFLICT (kid) DO UPDATE SET standing = excluded.standing, since = clock_timestamp()
            WHERE k.standing <> 'revoked'",
            kid.as_str(),
            state.as_str(),
        )
        .execute(&mut *transaction)
        .await?;
        commit(transaction).await
    }

    /// Returns how many live appenders sign with each key: those of publishers and those of commands. Each has its own lease
    /// duration.
    pub async fn signers(self) -> Result<BTreeMap<KeyId, u64>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- signers
            SELECT split_part(kind, '/', 2) AS "kid!", count(*) AS "signers!" FROM sealbus.leases
            WHERE kind LIKE 'signing/%/members' AND expires_at > clock_timestamp()
                AND expires_at <= clock_timestamp() + make_interval(secs => $1) GROUP BY 1"#,
            LONGEST_MEMBERSHIP.as_secs_f64(),
        )
        .fetch_all(self.ledger.background())
        .await?;
        let count = Column::new("leases", "count(*)");
        rows.into_iter().map(|row| Ok((KeyId::new(row.kid), count.read(row.signers)?))).collect()
    }

    /// Returns how many events of each key are not sealed yet.
    pub async fn unsealed(self) -> Result<BTreeMap<KeyId, u64>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- unsealed_by_key
            SELECT e.kid, count(*) AS "events!"
            FROM sealbus.seal_queue q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq GROUP BY e.kid"#
        )
        .fetch_all(self.ledger.background())
        .await?;
        let count = Column::new("seal_queue", "count(*)");
        rows.into_iter().map(|row| Ok((KeyId::new(row.kid), count.read(row.events)?))).collect()
    }

    /// Returns the number of a key's events that still get their leaves, and the plans of the others, whose sealing has stopped.
    pub async fn sealing(self, kid: &KeyId) -> Result<KeySealing, LedgerError> {
        let rows = sqlx::query!(
            r#"-- unsealed_plans_of_key
            SELECT q.plan_no, count(*) AS "events!"
            FROM sealbus.seal_queue q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
            WHERE e.kid = $1 GROUP BY q.plan_no LIMIT $2"#,
            kid.as_str(),
            MAX_CHECKED_PLANS,
        )
        .fetch_all(self.ledger.background())
        .await?;
        let plans: Vec<i64> = rows.iter().map(|row| row.plan_no).collect();
        let stopped = if plans.is_empty() { Vec::new() } else { self.ledger.log().stopped(&plans).await? };
        let waits = rows.iter().filter(|row| !stopped.iter().any(|plan| plan.plan_no == row.plan_no));
        let waiting = Column::new("seal_queue", "count(*)").read(waits.map(|row| row.events).sum::<i64>())?;
        let more_plans = u64::from(plans.len() as u64 >= MAX_CHECKED_PLANS.unsigned_abs());
        Ok(KeySealing { waiting: more_plans.max(waiting), stopped })
    }
}

/// Lets a key sign, on a connection of the caller: the first key of a ledger in the transaction that creates the ledger.
pub(crate) async fn allow_first(connection: impl PgExecutor<'_>, kid: &KeyId) -> Result<(), LedgerError> {
    sqlx::query!(
        "-- allow_signing
        INSERT INTO sealbus.signing_keys (kid, standing) VALUES ($1, 'signs') ON CONFLICT (kid) DO NOTHING",
        kid.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}
