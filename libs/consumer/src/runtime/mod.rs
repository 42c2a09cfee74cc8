//! The process: it creates its subscriptions, takes its share of each one's partitions by leases, and starts and ends the
//! workers of the assignments.

mod replies;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_core::catalog::Catalog;
use sealbus_core::seal::Keyring;
use sealbus_ledger::leases::keeper::{Change, Keeper, KeeperConfig};
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::assignment::held::{HeldAssignment, HeldAssignments};
use crate::assignment::{Assignment, ProcessContext, SubscriptionContext};
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::runtime::worker::work;
use crate::seals::SealCheck;
use crate::settings::Settings;
use crate::subscription::{Parallelism, SubscriptionSpec};
use crate::sweep::{due, walk};

/// The key of the lease on all partitions of a subscription.
const ALL_PARTITIONS: &str = "all";
/// Connections of the pool that effects leave to leases, the sweep and reads.
const SPARE_CONNECTIONS: usize = 4;

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

/// Why the runtime ended before its shutdown was requested.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The database refused to create a subscription.
    #[error("subscription {subscription} cannot be created")]
    Subscribe {
        /// The subscription.
        subscription: String,
        /// The error of the ledger.
        #[source]
        source: LedgerError,
    },
    /// Two subscriptions have one name.
    #[error("subscription {0} is declared twice")]
    DuplicateName(String),
    /// The task that renews the leases of a subscription has crashed.
    #[error("the leases of subscription {0} are no longer renewed")]
    LeasesNotRenewed(String),
    /// A task of the runtime panicked. This is a fault of Sealbus, not of a handler.
    #[error("a task of the consumer runtime crashed")]
    Crashed(#[source] tokio::task::JoinError),
}

/// Works on subscriptions until `shutdown`, then finishes what is in flight, acknowledges it and releases the leases.
///
/// Any number of processes may work on the same subscriptions: each partition of a subscription has one owner. A new
/// subscription is created. One that starts from now waits until all events that are queued for sealing are sealed, while
/// the others work.
pub async fn run(
    subscriptions: Vec<(SubscriptionSpec, Handler)>,
    resources: Resources,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    let Resources { ledger, broker, keyring, catalog, metrics } = resources;
    let deployment = ledger.deployment();
    let seals = SealCheck { origin: deployment.origin.clone(), partitions: deployment.partitions, keyring };
    let process =
        Arc::new(ProcessContext { ledger: ledger.clone(), broker, catalog, seals, settings: settings.clone() });
    let held = Arc::new(HeldAssignments::default());
    // Never used again: a process that is started again is another owner, and gets other epochs.
    let owner = Uuid::new_v4().to_string();
    let ending = shutdown.child_token();
    let mut tasks: JoinSet<Result<(), ConsumerError>> = JoinSet::new();
    let mut names = HashSet::new();
    let transactions = transactions_per_subscription(&ledger, &subscriptions);
    for (spec, handler) in subscriptions {
        if !names.insert(spec.name.clone()) {
            return Err(ConsumerError::DuplicateName(spec.name.to_string()));
        }
        let (process, held, ending) = (process.clone(), held.clone(), ending.clone());
        let (metrics, owner) = (metrics.for_subscription(spec.name.as_str()), owner.clone());
        tasks.spawn(async move {
            let Some(subscription_no) = create(&process, &spec, &ending).await? else { return Ok(()) };
            let name = spec.name.as_str().into();
            let transactions = Semaphore::new(transactions);
            let context = SubscriptionContext { process, spec, name, subscription_no, handler, transactions, metrics };
            keep_assignments(Arc::new(context), &held, owner, &ending).await
        });
    }
    let sweeping = walk::sweep(ledger.clone(), held.clone(), settings.clone(), metrics.unsealed_age(), ending.clone());
    tasks.spawn(async move {
        sweeping.await;
        Ok(())
    });
    let watching = due::watch(ledger, held, settings, ending.clone());
    tasks.spawn(async move {
        watching.await;
        Ok(())
    });
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(ConsumerError::Crashed).flatten();
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
            ending.cancel();
        }
    }
    outcome
}

/// Returns how many transactions each subscription with an effect in the ledger may have open, at least 1.
fn transactions_per_subscription(ledger: &Ledger, subscriptions: &[(SubscriptionSpec, Handler)]) -> usize {
    let in_ledger = subscriptions.iter().filter(|(_, handler)| matches!(handler, Handler::InLedger(_))).count();
    let connections = ledger.effects_pool().options().get_max_connections();
    let connections = usize::try_from(connections).expect("a usize has at least 32 bits on every platform of tokio");
    (connections.saturating_sub(SPARE_CONNECTIONS) / in_ledger.max(1)).max(1)
}

/// Finds or creates a subscription, and returns its number; `None` if the process ends first.
async fn create(
    process: &ProcessContext,
    spec: &SubscriptionSpec,
    ending: &CancellationToken,
) -> Result<Option<i64>, ConsumerError> {
    let ledger = &process.ledger;
    let mut waits_for = None;
    loop {
        let number = match waits_for {
            None => ledger.subscriptions().find_or_create(&spec.name, spec.start).await.map(|subscribed| {
                if subscribed.start != spec.start {
                    warn!(
                        subscription = %spec.name,
                        start = subscribed.start.as_str(),
                        declared_start = spec.start.as_str(),
                        "subscription already exists with a different start; the declared start is ignored"
                    );
                }
                if subscribed.waits_for.is_some() {
                    info!(
                        subscription = %spec.name,
                        "subscription starts from now; waiting until earlier events are sealed"
                    );
                }
                waits_for = subscribed.waits_for.map(|bound| (subscribed.subscription_no, bound));
                waits_for.is_none().then_some(subscribed.subscription_no)
            }),
            Some((number, bound)) => {
                ledger.subscriptions().finish(number, bound).await.map(|finished| finished.then_some(number))
            }
        };
        match number {
            Ok(Some(number)) => return Ok(Some(number)),
            Ok(None) => {}
            Err(error) if error.is_away() => {
                warn!(subscription = %spec.name, %error, "ledger unreachable; creation of the subscription is retried");
            }
            Err(source) => return Err(ConsumerError::Subscribe { subscription: spec.name.to_string(), source }),
        }
        tokio::select! {
            () = ending.cancelled() => return Ok(None),
            () = tokio::time::sleep(process.settings.replay_every) => {}
        }
    }
}

/// Takes this process's share of a subscription's partitions by leases, and runs a worker for each, until the process ends.
async fn keep_assignments(
    context: Arc<SubscriptionContext>,
    held: &Arc<HeldAssignments>,
    owner: String,
    ending: &CancellationToken,
) -> Result<(), ConsumerError> {
    let settings = context.settings();
    let keys = match context.spec.parallelism {
        Parallelism::One => vec![ALL_PARTITIONS.to_owned()],
        Parallelism::Partitions => {
            (0..context.ledger().deployment().partitions).map(|partition| partition.to_string()).collect()
        }
    };
    // Each subscription has its own kind of lease, so that its partitions are shared by the processes that work on it.
    let kind = format!("deliver/{}", context.name);
    let mut config = KeeperConfig::new(kind.clone(), keys, owner);
    (config.lease, config.renew) = (settings.lease, settings.renew_every);
    let mut keeper = Keeper::start(context.ledger().clone(), config);
    let mut workers: JoinSet<()> = JoinSet::new();
    let mut running: HashMap<String, CancellationToken> = HashMap::new();
    let outcome = loop {
        tokio::select! {
            () = ending.cancelled() => break Ok(()),
            Some(ended) = workers.join_next(), if !workers.is_empty() => {
                if let Err(crashed) = ended {
                    break Err(ConsumerError::Crashed(crashed));
                }
            }
            change = keeper.changed() => match change {
                None => break Err(ConsumerError::LeasesNotRenewed(context.name.to_string())),
                Some(Change::Lost(lease)) => {
                    if let Some(worker) = running.remove(lease.key()) {
                        worker.cancel();
                    }
                }
                Some(Change::Gained(lease)) => {
                    let token = CancellationToken::new();
                    running.insert(lease.key().to_owned(), token.clone());
                    let assignment = Arc::new(Assignment::new(context.clone(), &kind, lease, token));
                    let (due, due_plans) = mpsc::unbounded_channel();
                    held.add(HeldAssignment { assignment: assignment.clone(), due });
                    let held = held.clone();
                    workers.spawn(async move {
                        let gauge = assignment.context.metrics.assignments.clone();
                        gauge.inc();
                        work(assignment.clone(), due_plans).await;
                        held.remove(&assignment);
                        gauge.dec();
                    });
                }
            },
        }
    };
    running.values().for_each(CancellationToken::cancel);
    let mut crashed = None;
    while let Some(ended) = workers.join_next().await {
        crashed = crashed.or(ended.err());
    }
    keeper.stop().await;
    match (outcome, crashed) {
        (Ok(()), Some(crashed)) => Err(ConsumerError::Crashed(crashed)),
        (outcome, _) => outcome,
    }
}
