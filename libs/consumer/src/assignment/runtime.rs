//! A process at work for its subscriptions: creates them, takes its share of each by leases, and starts and ends holders.

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

use crate::assignment::held::{HeldShare, HeldShares};
use crate::assignment::lease::Lease;
use crate::assignment::partition::hold;
use crate::assignment::{Process, Share, Worked};
use crate::handler::Handler;
use crate::intake::seals::Intake;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::subscription::{Parallelism, SubscriptionSpec};

/// The key of the lease on a subscription's one share of everything.
const EVERYTHING: &str = "all";
/// Connections of the pool that effects leave to leases, the sweep and reads.
const SPARE_CONNECTIONS: usize = 4;

/// What the runtime works with; all of it is open already.
#[derive(Clone)]
pub struct Resources {
    /// Positions, floors, leases and history.
    pub ledger: Ledger,
    /// The stream, and the copies of dead letters.
    pub broker: Broker,
    /// The keys that seals are checked with.
    pub keyring: Keyring,
    /// Says how often an event of a channel is tried, where a subscription does not say it itself.
    pub catalog: Arc<Catalog>,
    /// Where all this is counted.
    pub metrics: Metrics,
}

/// Why the runtime ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// A subscription could not be created: the database refused.
    #[error("subscription {subscription} cannot be created")]
    Subscribe {
        /// Its name.
        subscription: String,
        /// What the ledger said.
        #[source]
        source: LedgerError,
    },
    /// One name was given twice.
    #[error("subscription {0} is declared twice")]
    Twice(String),
    /// Nobody renews the leases any more: the task that did has crashed.
    #[error("the leases of subscription {0} are renewed no more")]
    NoLeases(String),
    /// A task of the runtime ended by a panic: a fault of Sealbus, not of a handler.
    #[error("a task of the consumer runtime crashed")]
    Crashed(#[source] tokio::task::JoinError),
}

/// Works for subscriptions until `shutdown`; then ends what is in flight, answers for it and gives its leases back.
///
/// Any number of processes may do so for the same subscriptions: each share of the work has one holder. A subscription that
/// is new is created; one that starts now waits until all that is queued is sealed, while the others work.
pub async fn run(
    subscriptions: Vec<(SubscriptionSpec, Handler)>,
    resources: Resources,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    let Resources { ledger, broker, keyring, catalog, metrics } = resources;
    let deployment = ledger.deployment();
    let intake = Intake { origin: deployment.origin.clone(), partitions: deployment.partitions, keyring };
    let process = Arc::new(Process { ledger: ledger.clone(), broker, catalog, intake, settings: settings.clone() });
    let held = Arc::new(HeldShares::default());
    // Unique for ever: who begins again is another holder, and gets another epoch.
    let holder = Uuid::new_v4().to_string();
    let ending = shutdown.child_token();
    let mut tasks: JoinSet<Result<(), ConsumerError>> = JoinSet::new();
    let mut names = HashSet::new();
    let in_ledger = subscriptions.iter().filter(|(_, handler)| matches!(handler, Handler::InLedger(_))).count();
    let connections = usize::try_from(ledger.effects_pool().options().get_max_connections()).unwrap_or(usize::MAX);
    let transactions = (connections.saturating_sub(SPARE_CONNECTIONS) / in_ledger.max(1)).max(1);
    for (spec, handler) in subscriptions {
        if !names.insert(spec.name.clone()) {
            return Err(ConsumerError::Twice(spec.name.to_string()));
        }
        let (process, held, ending) = (process.clone(), held.clone(), ending.clone());
        let (metrics, holder) = (metrics.of(spec.name.as_str()), holder.clone());
        tasks.spawn(async move {
            let Some(subscription_no) = create(&process, &spec, &ending).await? else { return Ok(()) };
            let name = spec.name.as_str().into();
            let transactions = Semaphore::new(transactions);
            let worked = Worked { process, spec, name, subscription_no, handler, transactions, metrics };
            work(Arc::new(worked), &held, holder, &ending).await
        });
    }
    let sweeping =
        crate::sweep::walk::sweep(ledger.clone(), held.clone(), settings.clone(), metrics.unsealed(), ending.clone());
    tasks.spawn(async move {
        sweeping.await;
        Ok(())
    });
    let watching = crate::sweep::due::watch(ledger, held, settings, ending.clone());
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

/// Finds or creates the subscription; none when the process ends first.
async fn create(
    process: &Process,
    spec: &SubscriptionSpec,
    ending: &CancellationToken,
) -> Result<Option<i64>, ConsumerError> {
    let refused = |source| ConsumerError::Subscribe { subscription: spec.name.to_string(), source };
    let mut waits_for = None;
    loop {
        let step = match waits_for {
            None => process.ledger.subscriptions().find_or_create(&spec.name, spec.start).await.map(|subscribed| {
                if subscribed.start != spec.start {
                    warn!(subscription = %spec.name, start = subscribed.start.as_str(), "it exists already, and started otherwise than is declared now");
                }
                if subscribed.waits_for.is_some() {
                    info!(subscription = %spec.name, "it starts now: waits until what was published before is sealed");
                }
                waits_for = subscribed.waits_for.map(|bound| (subscribed.subscription_no, bound));
                waits_for.is_none().then_some(subscribed.subscription_no)
            }),
            Some((number, bound)) => process.ledger.subscriptions().finish(number, bound).await.map(|done| done.then_some(number)),
        };
        match step {
            Ok(Some(number)) => return Ok(Some(number)),
            Ok(None) => {}
            Err(error) if error.is_away() => warn!(subscription = %spec.name, %error, "it cannot be created yet"),
            Err(error) => return Err(refused(error)),
        }
        tokio::select! {
            () = ending.cancelled() => return Ok(None),
            () = tokio::time::sleep(process.settings.replay_every) => {}
        }
    }
}

/// Takes the process's share of a subscription by leases and works for it until the process ends.
async fn work(
    worked: Arc<Worked>,
    held: &Arc<HeldShares>,
    holder: String,
    ending: &CancellationToken,
) -> Result<(), ConsumerError> {
    let settings = worked.settings();
    let keys = match worked.spec.parallelism {
        Parallelism::One => vec![EVERYTHING.to_owned()],
        Parallelism::Partitions => {
            (0..worked.ledger().deployment().partitions).map(|partition| partition.to_string()).collect()
        }
    };
    // A kind for each subscription: its shares are spread over the processes that work for it, and no others.
    let kind = format!("deliver/{}", worked.name);
    let mut config = KeeperConfig::new(kind.clone(), keys, holder);
    (config.lease, config.renew) = (settings.lease, settings.renew_every);
    let mut keeper = Keeper::start(worked.ledger().clone(), config);
    let mut holders: JoinSet<()> = JoinSet::new();
    let mut going: HashMap<String, CancellationToken> = HashMap::new();
    let outcome = loop {
        tokio::select! {
            () = ending.cancelled() => break Ok(()),
            Some(ended) = holders.join_next(), if !holders.is_empty() => {
                if let Err(crashed) = ended {
                    break Err(ConsumerError::Crashed(crashed));
                }
            }
            change = keeper.changed() => match change {
                None => break Err(ConsumerError::NoLeases(worked.name.to_string())),
                Some(Change::Lost(lease)) => {
                    if let Some(going) = going.remove(lease.key()) {
                        going.cancel();
                    }
                }
                Some(Change::Gained(lease)) => {
                    let token = CancellationToken::new();
                    going.insert(lease.key().to_owned(), token.clone());
                    let partition = lease.key().parse().ok();
                    let share = Share { worked: worked.clone(), partition, lease: Lease::new(&kind, lease, token) };
                    let (due, dues) = mpsc::unbounded_channel();
                    held.add(HeldShare { share: share.clone(), due });
                    let held = held.clone();
                    holders.spawn(async move {
                        let shares = share.worked.metrics.shares.clone();
                        shares.inc();
                        hold(share.clone(), dues).await;
                        held.remove(&share);
                        shares.dec();
                    });
                }
            },
        }
    };
    going.values().for_each(CancellationToken::cancel);
    let mut crashed = None;
    while let Some(ended) = holders.join_next().await {
        crashed = crashed.or(ended.err());
    }
    keeper.stop().await;
    match (outcome, crashed) {
        (Ok(()), Some(crashed)) => Err(ConsumerError::Crashed(crashed)),
        (outcome, _) => outcome,
    }
}
