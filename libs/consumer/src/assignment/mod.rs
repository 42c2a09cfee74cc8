//! An assignment: the work of one subscription in one partition (or in all of them) while this process owns its lease.

pub(crate) mod creation;
pub(crate) mod interrupted;
pub(crate) mod keeper;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sealbus_broker::Broker;
use sealbus_core::catalog::Catalog;
use sealbus_core::event::Record;
use sealbus_core::retry::RetryPolicy;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Verdict;
use sealbus_ledger::delivery::positions::{LeaseEpoch, Position};
use sealbus_ledger::leases::keeper::Lease;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Span, error_span};

use crate::assignment::interrupted::InterruptedAttempts;
use crate::handler::Handler;
use crate::metrics::SubscriptionMetrics;
use crate::plan_name::PlanName;
use crate::seals::{Source, check_seal};
use crate::settings::Settings;
use crate::subscription::SubscriptionSpec;

/// The resources that all subscriptions of a process have in common.
pub(crate) struct ProcessContext {
    pub ledger: Ledger,
    pub broker: Broker,
    pub catalog: Arc<Catalog>,
    pub keyring: Keyring,
    pub settings: Settings,
    pub interrupted: InterruptedAttempts,
}

/// One subscription and everything that this process needs to work on it.
pub(crate) struct SubscriptionContext {
    pub process: Arc<ProcessContext>,
    pub spec: SubscriptionSpec,
    pub name: Arc<str>,
    pub subscription_no: i64,
    pub handler: Handler,
    /// One permit for each connection that the subscription's effects may use at once, so that a slow handler leaves
    /// connections for everything else.
    pub transactions: Semaphore,
    pub metrics: SubscriptionMetrics,
}

/// One subscription's work in one partition, under one epoch of its lease.
pub(crate) struct Assignment {
    pub context: Arc<SubscriptionContext>,
    /// The partition; `None` means all of them.
    pub partition: Option<u32>,
    /// Tells whether the lease is owned now, by the monotonic clock. A process that is paused right after it asked may
    /// still act late, which is why every write is fenced by `lease_epoch`.
    pub lease: Lease,
    /// The kind, key and epoch of the lease. A position's first row is inserted only while the lease has this epoch.
    pub lease_epoch: LeaseEpoch,
    /// Cancelled when the lease is lost or the process shuts down.
    pub ending: CancellationToken,
}

impl ProcessContext {
    /// Checks the seal of an event, as [`check_seal`] does.
    pub(crate) fn check_seal(&self, record: &Record, source: Source) -> Result<(), Verdict> {
        check_seal(record, source, &self.ledger.deployment().origin, &self.keyring)
    }
}

impl SubscriptionContext {
    /// Returns the retry policy for an event type: the subscription's own, otherwise that of the event's channel.
    pub(crate) fn policy(&self, event_type: &str) -> RetryPolicy {
        self.spec.retry.clone().unwrap_or_else(|| self.process.catalog.policy(event_type))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.process.settings
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.process.ledger
    }

    /// Reads the subscription's positions in some plans. A plan that the ledger does not have is left out, and one whose
    /// stored position is invalid has an error of its own.
    pub(crate) async fn positions(
        &self,
        plans: &[&PlanName],
    ) -> Result<HashMap<PlanName, Result<Position, LedgerError>>, LedgerError> {
        let names: Vec<(&str, &str)> = plans.iter().map(|name| (&*name.tenant, &*name.plan)).collect();
        let numbers = self.ledger().history().plan_nos(&names).await?;
        let plan_nos: Vec<i64> = numbers.values().copied().collect();
        let mut positions = self.ledger().positions().read(self.subscription_no, &plan_nos).await?;
        let by_name = numbers.into_iter().filter_map(|((tenant, plan), plan_no)| {
            positions.remove(&plan_no).map(|position| (PlanName::new(&tenant, &plan), position))
        });
        Ok(by_name.collect())
    }

    /// Reads the subscription's position in one plan. Returns `None` if the ledger does not have the plan.
    pub(crate) async fn position(&self, plan: &PlanName) -> Result<Option<Position>, LedgerError> {
        self.positions(&[plan]).await?.remove(plan).transpose()
    }
}

impl Assignment {
    /// Returns the assignment for a lease of `kind` whose key is the partition, or any other text for all partitions.
    pub(crate) fn new(context: Arc<SubscriptionContext>, kind: &str, lease: Lease, ending: CancellationToken) -> Self {
        let partition = lease.key().parse().ok();
        let lease_epoch = LeaseEpoch { kind: kind.to_owned(), key: lease.key().to_owned(), epoch: lease.epoch() };
        Self { context, partition, lease, lease_epoch, ending }
    }

    /// The span of work that concerns the whole assignment.
    pub(crate) fn span(&self) -> Span {
        error_span!(parent: None, "assignment", subscription = &*self.context.name, partition = self.partition)
    }

    /// The span of the work on one plan. Log lines within it do not repeat its fields.
    pub(crate) fn plan_span(&self, name: &PlanName) -> Span {
        let PlanName { tenant, plan } = name;
        let (subscription, partition) = (&*self.context.name, self.partition);
        error_span!(parent: None, "plan", subscription, tenant = &**tenant, plan = &**plan, partition)
    }
}

/// An assignment, and the channel by which its worker learns that a plan is due for replay.
#[derive(Clone)]
pub(crate) struct HeldAssignment {
    pub assignment: Arc<Assignment>,
    pub due: mpsc::UnboundedSender<PlanName>,
}

/// All assignments of this process, in the order in which it gained their leases. They refer to the context: as a part
/// of it they would make a cycle, and a process that is dropped would never close its connections.
#[derive(Default)]
pub(crate) struct HeldAssignments(Mutex<Vec<HeldAssignment>>);

impl HeldAssignments {
    pub(crate) fn add(&self, held: HeldAssignment) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }

    pub(crate) fn remove(&self, assignment: &Assignment) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|held| held.assignment.lease_epoch != assignment.lease_epoch);
    }

    /// Returns the assignments by (subscription number, partition). One of all partitions appears under each of them.
    /// Of two on the same partition, the one with the later epoch is returned.
    pub(crate) fn by_partition(&self, partitions: u32) -> BTreeMap<(i64, u32), HeldAssignment> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_partition = all.iter().flat_map(|held| {
            let numbers = match held.assignment.partition {
                Some(partition) => partition..partition + 1,
                None => 0..partitions,
            };
            numbers.map(|partition| ((held.assignment.context.subscription_no, partition), held.clone()))
        });
        by_partition.collect()
    }
}
