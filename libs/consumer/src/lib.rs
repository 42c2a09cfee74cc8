//! The consumer runtime: delivers the events of a subscription to a handler.
//!
//! It is the engine of the dispatcher's sinks, and the library with which a Rust service consumes events itself.
//!
//! # Guarantees
//! A handler is called for every event of its subscription, in order within each plan, at least once. An effect in the
//! ledger's Postgres happens exactly once, because it commits in the transaction that moves the position. If an event
//! fails, its plan is retried by the subscription's policy, and the event becomes a dead letter that an operator
//! redrives or skips; all other plans continue.
//!
//! # A handler
//! 1. Implement [`LedgerEffect`] for an effect in the ledger's Postgres, or [`ExternalEffect`] for any other. An
//!    external effect is called at least once per event; [`Delivery::key`] is the idempotency key to recognise a
//!    repetition by.
//! 2. Describe the subscription by a [`SubscriptionSpec`]: its name, event types, tenants, start and retry policy.
//! 3. Call [`run`]. Any number of processes may run the same subscription: they share its partitions by leases.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, Resources, Settings, SubscriptionSpec, run};
//! use sealbus_core::names::Subscription;
//! use tokio_util::sync::CancellationToken;
//!
//! struct Printer;
//!
//! #[async_trait::async_trait]
//! impl ExternalEffect for Printer {
//!     async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
//!         for delivery in batch {
//!             println!("{}: {}", delivery.key(), delivery.record.header.event_type);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! async fn consume(
//!     resources: Resources,
//!     settings: Settings,
//!     shutdown: CancellationToken,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let printer = SubscriptionSpec::new(Subscription::parse("printer")?);
//!     let handler = Handler::External(Arc::new(Printer));
//!     Ok(run(vec![(printer, handler)], resources, settings, shutdown).await?)
//! }
//! ```
//!
//! # How it works
//! The stream delivers events fast; the ledger guarantees that none is lost.
//!
//! 1. [`run`] creates the subscriptions and takes leases on their partitions (`assignment`). A lease on one partition
//!    of a subscription is an assignment, for which a `worker` runs.
//! 2. `intake` pulls messages and decides what each of them is. Seals are checked in `seals`.
//! 3. The `worker` keeps messages in memory by plan (`plan::slots`) and gives each plan one task at a time.
//! 4. `plan::gather` puts a plan's events in order by a pure rule (`Decision` in `plan::order`) and reads missing
//!    predecessors from the ledger.
//! 5. `plan::effect` runs the handler, then moves the position in the same transaction, and retries it (`BatchOutcome`);
//!    `plan::group` does so for several plans in one transaction. `plan::retries` decides between a retry in memory,
//!    parking and a dead letter.
//! 6. `plan::process` ties these steps together, and `plan::actor` sets a plan aside that cannot go on. The worker
//!    learns what to do next (`PlanOutcome`): acknowledge the messages that the position covers, or repeat the task.
//! 7. `sweep::due` finds plans that were set aside and are due, which `plan::process` replays from the ledger.
//!    `sweep` itself finds in the log what the stream lost, in one walk for each subscription and partition.
//!
//! A message is acknowledged only once the durable position covers its event. The rules are those of
//! docs/spec/protocol.md, section Consume.

mod assignment;
mod error;
mod handler;
mod intake;
mod measure;
mod metrics;
mod plan;
mod plan_name;
mod seals;
mod settings;
mod subscription;
mod sweep;
mod ticks;
mod worker;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sealbus_broker::Broker;
use sealbus_core::catalog::Catalog;
use sealbus_core::error_chain;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::assignment::creation::create;
use crate::assignment::interrupted::InterruptedAttempts;
use crate::assignment::keeper::keep_assignments;
use crate::assignment::{HeldAssignments, ProcessContext, SubscriptionContext};
pub use crate::error::ConsumerError;
pub use crate::handler::{Delivery, ExternalEffect, Handler, HandlerError, IdempotencyKey, LedgerEffect};
pub use crate::metrics::Metrics;
pub use crate::settings::Settings;
pub use crate::subscription::{Interest, Parallelism, SubscriptionSpec, Tenants};
use crate::sweep::upkeep;
use crate::worker::work;

/// The resources that the runtime works with. All of them are open already.
#[derive(Clone)]
pub struct Resources {
    /// The ledger: positions, floors, leases and history.
    pub ledger: Ledger,
    /// The broker: the stream of events, and the copies of dead letters.
    pub broker: Broker,
    /// The keys that seals are checked with.
    pub keyring: Keyring,
    /// The catalog, whose channels have the retry policies of subscriptions that have none.
    pub catalog: Arc<Catalog>,
    /// The metrics of the runtime.
    pub metrics: Metrics,
}

/// How long the end of a process may take to take back interrupted attempts.
const LAST_TAKE_BACK_TIMEOUT: Duration = Duration::from_millis(500);

/// Works on subscriptions until `shutdown`, then finishes what is in flight, acknowledges it and releases the leases.
///
/// Any number of processes may work on the same subscriptions: each partition of a subscription has one owner. A new
/// subscription is created.
pub async fn run(
    subscriptions: Vec<(SubscriptionSpec, Handler)>,
    resources: Resources,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    let transactions = transactions_per_subscription(&resources.ledger, &subscriptions);
    let Resources { ledger, broker, keyring, catalog, metrics } = resources;
    let process = Arc::new(ProcessContext {
        ledger,
        broker,
        catalog,
        keyring,
        settings,
        interrupted: InterruptedAttempts::default(),
    });
    let held = Arc::new(HeldAssignments::default());
    // Never used again: a process that is started again is another owner, and gets other epochs.
    let owner = Uuid::new_v4().to_string();
    let ending = shutdown.child_token();
    let mut tasks: JoinSet<Result<(), ConsumerError>> = JoinSet::new();
    let mut names = HashSet::new();
    for (spec, handler) in subscriptions {
        if !names.insert(spec.name.clone()) {
            return Err(ConsumerError::DuplicateName(spec.name.to_string()));
        }
        let (process, held, ending) = (process.clone(), held.clone(), ending.clone());
        let (metrics, owner) = (metrics.for_subscription(spec.name.as_str()), owner.clone());
        tasks.spawn(async move {
            let Some(subscription_no) = create(&process, &spec, &ending).await? else { return Ok(()) };
            let (name, transactions) = (spec.name.as_str().into(), Semaphore::new(transactions));
            let context = SubscriptionContext { process, spec, name, subscription_no, handler, transactions, metrics };
            keep_assignments(Arc::new(context), &held, owner, &ending, work).await
        });
    }
    tasks.spawn(measure::measure(process.clone(), held.clone(), metrics.clone(), ending.clone()).map(Ok));
    tasks.spawn(sweep::sweep(process.clone(), held.clone(), ending.clone()).map(Ok));
    tasks.spawn(upkeep::watch_floors(process.clone(), held.clone(), metrics.clone(), ending.clone()).map(Ok));
    tasks.spawn(upkeep::measure_ages(process.clone(), held.clone(), metrics, ending.clone()).map(Ok));
    tasks.spawn(upkeep::prune(process.clone(), held.clone(), ending.clone()).map(Ok));
    tasks.spawn(upkeep::take_back_attempts(process.clone(), ending.clone()).map(Ok));
    tasks.spawn(sweep::due::watch(process.clone(), held, ending.clone()).map(Ok));
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(ConsumerError::Crashed).flatten();
        if ended.is_err() {
            ending.cancel();
        }
        outcome = outcome.and(ended);
    }
    // What the end of the process interrupted did not fail either.
    let taking_back = process.interrupted.take_back(process.ledger.positions(), |_| true);
    if let Ok(Err(error)) = timeout(LAST_TAKE_BACK_TIMEOUT, taking_back).await {
        warn!(error = %error_chain(&error), "interrupted attempts cannot be taken back; they count");
    }
    outcome
}

/// Returns how many transactions each subscription with an effect in the ledger may have open, at least 1.
fn transactions_per_subscription(ledger: &Ledger, subscriptions: &[(SubscriptionSpec, Handler)]) -> usize {
    let in_ledger = subscriptions.iter().filter(|(_, handler)| matches!(handler, Handler::InLedger(_))).count();
    let connections = ledger.effects().max_connections();
    let connections = usize::try_from(connections).expect("a usize has at least 32 bits on every platform of tokio");
    (connections / in_ledger.max(1)).max(1)
}

/// The README, whose Rust examples are compiled as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
