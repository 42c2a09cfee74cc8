//! Append: the only way into the ledger. The protocol's rules under "Append" are carried out here, a file for each part.
//!
//! - `call`: what a caller asks for, and what it gets back.
//! - `queue`: calls waiting for a batch, taken fairly over tenants, in order within a plan.
//! - `batcher`: takes what queued up while its last commit was in flight, and sends busy plans on a path of their own.
//! - `transaction`: one batch in one transaction: lock, read heads, decide, sign, insert, commit.
//! - `locks`: the first statement of that transaction. `insert`: the last.
//! - `decide`: what becomes of each call, given heads and known ids; pure.
//! - `link`: an event's place in its chain: header, hash, seal; pure.

mod batcher;
mod call;
mod decide;
mod insert;
mod link;
mod locks;
mod queue;
mod transaction;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::names::{Plan, Tenant};
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::{KeyId, Keyring};
use sealbus_core::timestamp::Timestamp;
use tokio::sync::mpsc;

use self::batcher::Batcher;
pub use self::call::{AppendError, Appended, Call, Draft, Expect, Hint, MAX_EVENTS, UnderKey};
use self::insert::{Row, insert};
use self::link::Linker;
use self::locks::PlanState;
use crate::keys::SignerLease;
use crate::{Deployment, Ledger, LedgerError};

/// How appending is shared out.
#[derive(Debug, Clone)]
pub struct AppendSettings {
    /// Batchers of this replica; a plan always meets the same one.
    pub batchers: usize,
    /// Events in a batch, at most. A call larger than this goes alone.
    pub max_batch_events: usize,
    /// Plans in a batch, at most: so many locks it takes.
    pub max_batch_plans: usize,
    /// Events of one tenant that may wait in one batcher before its calls are answered with `overloaded`.
    pub max_waiting_events: usize,
    /// How long a call that went alone waits for its plan; longer than the longest batch.
    pub lock_timeout: Duration,
    /// Tenants whose new plans carry scheme v1 beside v2.
    pub v1_tenants: HashSet<String>,
    /// How long an appender that is no longer heard of still counts as one that signs with its key.
    pub lease_duration: Duration,
    /// How often it is heard of: well under the lease.
    pub lease_renew_interval: Duration,
}

impl Default for AppendSettings {
    fn default() -> Self {
        Self {
            batchers: 2,
            max_batch_events: 500,
            max_batch_plans: 200,
            max_waiting_events: 20_000,
            lock_timeout: Duration::from_secs(10),
            v1_tenants: HashSet::new(),
            lease_duration: Duration::from_secs(10),
            lease_renew_interval: Duration::from_secs(3),
        }
    }
}

/// Appends events to plans. Cloning shares the batchers; they end when the last clone is dropped.
///
/// While it lives it is counted among those who sign with its key ([`Keys::signers`]).
#[derive(Clone)]
pub struct Appender {
    batchers: Arc<[Batcher]>,
    kid: KeyId,
    signer_lease: Arc<SignerLease>,
}

impl Appender {
    /// Starts the batchers. What they append is offered to `hints` after its commit, without waiting for room.
    ///
    /// # Errors
    /// Where the keyring has no active key.
    #[expect(clippy::needless_pass_by_value, reason = "the hints end with the appender")]
    pub fn start(
        ledger: &Ledger,
        keyring: &Keyring,
        settings: &AppendSettings,
        hints: Option<mpsc::Sender<Vec<Hint>>>,
    ) -> Result<Self, LedgerError> {
        let linker = Arc::new(Linker::new(ledger.deployment(), keyring, settings)?);
        let batchers = (0..settings.batchers.max(1))
            .map(|_| Batcher::start(ledger.clone(), linker.clone(), settings, hints.clone()))
            .collect();
        let kid = linker.kid().clone();
        let signer_lease =
            Arc::new(SignerLease::start(ledger, &kid, settings.lease_duration, settings.lease_renew_interval));
        Ok(Self { batchers, kid, signer_lease })
    }

    /// The key that seals what it appends.
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Says at once that it signs no more, rather than when its lease expires: for the end of a process. Nothing may be
    /// appended afterwards, by no clone.
    pub async fn deregister(&self) {
        self.signer_lease.end().await;
    }

    /// Appends the call's events as one atomic step of its plan, and gives their records, in the call's order.
    ///
    /// Answered only after the commit that the answer rests on, a refusal too. Dropping the future does not undo the call:
    /// ask again with the same event ids to learn what became of it.
    pub async fn append(&self, call: Call) -> Result<Vec<Appended>, AppendError> {
        call.check()?;
        let key = PlanKey::of(call.tenant.as_str(), call.plan.as_str());
        // Not the bits that choose the partition, so that each batcher meets plans of all partitions.
        let shard = usize::try_from(key.lock_key().unsigned_abs()).unwrap_or_default() % self.batchers.len();
        self.batchers[shard].append(call, key).await
    }
}

/// Refuses settings under which all replicas at full load could use over half of the server's lock table.
pub async fn check_lock_table(
    ledger: &Ledger,
    settings: &AppendSettings,
    max_replicas: u32,
) -> Result<(), LedgerError> {
    let available = locks::table_size(ledger).await?;
    let batchers = u32::try_from(settings.batchers).unwrap_or(u32::MAX);
    let batch = u32::try_from(settings.max_batch_plans).unwrap_or(u32::MAX);
    let wanted = u64::from(max_replicas) * u64::from(batchers) * u64::from(batch);
    if wanted * 2 <= available {
        return Ok(());
    }
    Err(LedgerError::LockTable { replicas: max_replicas, batchers, batch, wanted, available })
}

/// Appends a ledger's very first event, inside the transaction that creates the ledger and under its lock.
pub(crate) async fn append_first(
    connection: &mut sqlx::PgConnection,
    deployment: &Deployment,
    keyring: &Keyring,
    draft: &Draft,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let linker = Linker::new(deployment, keyring, &AppendSettings::default())?;
    let mut plans = [PlanState::empty(Tenant::system().as_str(), Plan::keys().as_str())];
    let record = linker.link(&plans[0], draft, now).map_err(|error| LedgerError::Keyring(error.to_string()))?;
    insert(connection, &mut plans, deployment.partitions, vec![Row { plan_at: 0, record: Arc::new(record) }]).await?;
    Ok(())
}
