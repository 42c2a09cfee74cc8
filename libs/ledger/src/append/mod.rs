//! Append, the only way into the ledger. The rules are in `docs/spec/protocol.md#append`.
//!
//! # States of a call
//!
//! ```text
//!                    the plan was busy, at most 2 times
//!                     ┌───────────────────────┐
//!           push      ▼         take          │       commit
//! caller ─────────▶ queued ──────────────▶ in a batch ─────────▶ answered
//!                                             │                     ▲
//!                                             │ the plan was busy   │ commit, or lock_timeout
//!                                             ▼ for the 3rd time    │
//!                                           alone ──────────────────┘
//! ```
//!
//! A plan is *busy* if another replica has its lock. A call that goes *alone* waits for the lock, on a separate connection;
//! the later calls of its plan stay queued until it is answered. The calls of one plan are appended in the order in which they
//! were queued. A call is answered after the commit that its answer depends on, also if it is refused. A queued call whose caller
//! stops waiting is dropped. A batch does not belong to its callers: once a call is in a batch, it is appended in any case.
//!
//! # One batch
//!
//! ```text
//! BEGIN ─▶ lock the plans, ─▶ read known ─▶ lock data ─▶ decide, ─▶ insert events, ─▶ COMMIT ─▶ answers,
//!          read heads and     events        keys         link       outbox and                  hints
//!          the clock                                     and seal   seal queue
//! ```
//!
//! # Limits
//!
//! | limit | value |
//! |---|---|
//! | waiting for a plan's lock, alone | [`AppendSettings::lock_timeout`], which has to exceed the longest batch |
//! | plans of a batcher that wait alone | 2 |
//! | a transaction whose process is stopped | 5 s, then Postgres ends it (`idle_in_transaction_session_timeout`) |
//! | memory of queued calls | the caller's, who passes a reservation to [`Appender::append_holding`] |
//! | locks of all replicas | replicas × batchers × plans in a batch ≤ half of the server's lock table ([`check_lock_table`]) |
//! | an idle batcher keeps its connection | 10 s |
//!
//! # Failures
//!
//! | failure | what happens |
//! |---|---|
//! | the database is unreachable | The batch is run once more on another connection, then its callers get [`AppendError::Unavailable`]. Later batches try again. |
//! | the acknowledgement of a commit is lost | The second run finds the ids and answers with the stored events. If it fails too, the caller repeats the call with the same ids. |
//! | a commit ends with a warning | A standby may lack it: [`AppendError::Unavailable`], and no second run. |
//! | a batcher panics | The callers of its batch get [`AppendError::Stopped`], and the batcher starts again. |
//! | a process is paused in a transaction | Postgres ends the transaction and releases the locks. The process finds its connection broken and runs the batch again. |
//! | a key is ended while a process is paused | The lock of the key and its state are the first thing a transaction reads, so it commits nothing under an ended key. |
//! | the database's clock is set back | `recorded` is the predecessor's. It never falls within a plan. |
//! | two replicas append to one plan | One gets the lock, the other defers its calls. If the lock failed, the unique constraint on (`plan_no`, `prev`) would refuse the second event. |
//! | an id is used in two batches at once | One batch violates the unique constraint, is run again by halves, and then finds the id stored. |
//!
//! # Modules
//!
//! - `call`: what a caller passes and what it gets back.
//! - `queue`: the waiting calls, fair between tenants.
//! - `batcher`: the loop that takes batches from the queue.
//! - `transaction`: one batch in one transaction, and its retries.
//! - `locks`, `insert`: the statements of the transaction.
//! - `decide`, `link`: the decision about each call; header, hash and seal of a new event. Both are pure.
//! - `metrics`: what the appender counts and measures.
//! - `signing`: whether the key may sign, and the lease that announces who signs with it.

mod batcher;
mod call;
mod decide;
mod insert;
mod link;
mod locks;
mod metrics;
mod queue;
mod signing;
mod supervise;
mod transaction;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::names::{Plan, Tenant};
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::{KeyId, Keyring};
use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use self::batcher::Batcher;
pub(crate) use self::batcher::CONNECTIONS_PER_BATCHER;
pub use self::call::{AppendError, Appended, Call, Draft, Expect, Hint, MAX_EVENTS, UnderKey};
use self::insert::{Row, insert};
use self::link::Linker;
use self::locks::PlanState;
pub use self::metrics::AppendMetrics;
use self::signing::SignerLease;
pub use self::signing::{KeyRefused, KeyState};
use crate::pg::Column;
use crate::{Deployment, Ledger, OpenError};

/// Bounds and intervals of an appender.
#[derive(Debug, Clone)]
pub struct AppendSettings {
    /// The number of batchers. A plan always uses the same one.
    pub batchers: usize,
    /// The highest number of events in a batch, of which one of 2 KiB or more counts as several. A call with more makes a
    /// batch alone.
    pub max_batch_events: usize,
    /// The highest number of plans, and so of plan locks, in a batch.
    pub max_batch_plans: usize,
    /// How long a call that goes alone waits for the lock of its plan. It has to exceed the duration of the longest batch.
    pub lock_timeout: Duration,
    /// The tenants whose new plans carry scheme v1 in addition to the seal.
    pub v1_tenants: HashSet<String>,
    /// How long an appender counts as one that signs with its key after the last renewal.
    pub lease_duration: Duration,
    /// The interval of renewals. It has to be well below the duration.
    pub lease_renew_interval: Duration,
}

/// Appends events to plans. Clones share the batchers, which end when the last clone is dropped.
///
/// While it exists it counts as a signer of its key ([`Keys::signers`](crate::keys::Keys::signers)).
#[derive(Clone)]
pub struct Appender {
    batchers: Arc<[Batcher]>,
    kid: KeyId,
    metrics: AppendMetrics,
    signer_lease: Arc<SignerLease>,
}

impl Appender {
    /// Starts the batchers, on the current Tokio runtime. Committed events are sent to `hints`, unless the channel is full.
    ///
    /// # Errors
    /// [`OpenError::Keyring`] if the keyring has no usable active key, [`OpenError::NoV1Key`] if a tenant is set to carry
    /// scheme v1 and the keyring has no v1 key.
    #[expect(clippy::needless_pass_by_value, reason = "the receiver of the hints ends when the appender does")]
    pub fn start(
        ledger: &Ledger,
        keyring: &Keyring,
        settings: &AppendSettings,
        hints: Option<mpsc::Sender<Vec<Hint>>>,
    ) -> Result<Self, OpenError> {
        let linker = Arc::new(Linker::new(ledger.deployment(), keyring, settings.v1_tenants.clone())?);
        let metrics = AppendMetrics::default();
        let batchers = (0..settings.batchers.max(1))
            .map(|_| Batcher::start(ledger.clone(), linker.clone(), settings, hints.clone(), metrics.clone()))
            .collect();
        let kid = linker.kid().clone();
        let signer_lease =
            Arc::new(SignerLease::start(ledger, &kid, settings.lease_duration, settings.lease_renew_interval));
        Ok(Self { batchers, kid, metrics, signer_lease })
    }

    /// Returns the id of the key that seals what is appended.
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the metrics of the appender.
    pub fn metrics(&self) -> &AppendMetrics {
        &self.metrics
    }

    /// Ends the appender's membership among the signers of its key now, rather than when its lease expires. Used before a
    /// process ends. No clone may append afterwards.
    pub async fn deregister(&self) {
        self.signer_lease.end().await;
    }

    /// Appends the events of a call as one atomic step of its plan. Returns their records, in the order of the call.
    ///
    /// Dropping the future drops the call if it is still queued, and otherwise does not cancel the append. To learn its outcome, the
    /// caller repeats the call with the same ids.
    ///
    /// # Errors
    /// Every variant of [`AppendError`] is possible. Nothing of a refused call is stored; after [`AppendError::Unavailable`] and
    /// [`AppendError::Stopped`] the events may be stored.
    pub async fn append(&self, call: Call) -> Result<Vec<Appended>, AppendError> {
        self.append_holding(call, ()).await
    }

    /// Appends like [`Appender::append`], and drops `memory` together with the call: when it is answered, or dropped from the queue.
    /// With a reservation as `memory` the caller bounds what all its calls take, also after it has stopped waiting.
    pub async fn append_holding(
        &self,
        call: Call,
        memory: impl Send + Sync + 'static,
    ) -> Result<Vec<Appended>, AppendError> {
        call.check()?;
        let key = PlanKey::of(call.tenant.as_str(), call.plan.as_str());
        // The low bits. The high bits choose the partition, and each batcher should serve plans of all partitions.
        let batchers = self.batchers.len() as u64;
        let index = key.lock_key().unsigned_abs() % batchers;
        let index = usize::try_from(index).expect("the remainder is below the number of batchers");
        self.batchers[index].append(call, key, Box::new(memory)).await
    }
}

/// Checks that all replicas under full load can take at most half of the server's lock table
/// (`docs/spec/protocol.md#append-7`).
///
/// # Errors
/// [`OpenError::LockTable`] if they could take more.
pub async fn check_lock_table(ledger: &Ledger, settings: &AppendSettings, max_replicas: u32) -> Result<(), OpenError> {
    let available = sqlx::query_scalar!(
        r#"-- table_size
        SELECT current_setting('max_locks_per_transaction')::bigint * current_setting('max_connections')::bigint AS "size!""#
    );
    let available = available.fetch_one(ledger.background()).await?;
    let available = Column::new("pg_settings", "max_locks_per_transaction * max_connections").read(available)?;
    let AppendSettings { batchers, max_batch_plans, .. } = *settings;
    let wanted = u64::from(max_replicas).saturating_mul(batchers as u64).saturating_mul(max_batch_plans as u64);
    if wanted.saturating_mul(2) <= available {
        return Ok(());
    }
    Err(OpenError::LockTable { replicas: max_replicas, batchers, batch_plans: max_batch_plans, wanted, available })
}

/// Appends the very first event of a ledger, in the transaction and under the lock that create the ledger.
pub(crate) async fn append_first(
    connection: &mut PgConnection,
    deployment: &Deployment,
    keyring: &Keyring,
    draft: &Draft,
    now: Timestamp,
) -> Result<(), OpenError> {
    let linker = Linker::new(deployment, keyring, HashSet::new())?;
    let mut plans = [PlanState::empty(Tenant::system().as_str(), Plan::keys().as_str())];
    let record = linker.link(&plans[0], draft, now).map_err(OpenError::FirstEvent)?;
    let rows = vec![Row { plan_index: 0, record: Arc::new(record) }];
    insert(connection, &mut plans, deployment.partitions, rows).await?;
    Ok(())
}
