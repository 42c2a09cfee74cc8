//! The leases of a subscription: each one that is gained begins an assignment, each one that is lost ends it.

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_ledger::leases::keeper::{Change, Keeper, KeeperConfig};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::assignment::{Assignment, HeldAssignment, HeldAssignments, SubscriptionContext};
use crate::error::ConsumerError;
use crate::plan_name::PlanName;
use crate::subscription::Parallelism;

/// The key of the lease on all partitions of a subscription.
const ALL_PARTITIONS: &str = "all";

/// Takes this process's share of a subscription's partitions by leases, and runs `work` for each, until the process
/// ends.
///
/// `work` gets the assignment and the plans that become due for replay. It ends when the assignment does.
pub(crate) async fn keep_assignments<W: Future<Output = ()> + Send + 'static>(
    context: Arc<SubscriptionContext>,
    held: &Arc<HeldAssignments>,
    owner: String,
    ending: &CancellationToken,
    work: impl Fn(Arc<Assignment>, mpsc::UnboundedReceiver<PlanName>) -> W,
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
    let (lease_duration, renew_interval) = (settings.lease_duration, settings.lease_renew_interval);
    let config = KeeperConfig { kind: kind.clone(), keys, owner, lease_duration, renew_interval };
    let mut keeper = Keeper::start(context.ledger().clone(), config);
    let mut workers: JoinSet<()> = JoinSet::new();
    let mut running: HashMap<String, CancellationToken> = HashMap::new();
    let mut outcome = loop {
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
                    let (held, work) = (held.clone(), work(assignment.clone(), due_plans));
                    workers.spawn(async move {
                        let gauge = &assignment.context.metrics.assignments;
                        gauge.inc();
                        work.await;
                        held.remove(&assignment);
                        gauge.dec();
                    });
                }
            },
        }
    };
    running.values().for_each(CancellationToken::cancel);
    while let Some(ended) = workers.join_next().await {
        outcome = outcome.and(ended.map_err(ConsumerError::Crashed));
    }
    keeper.stop().await;
    outcome
}
