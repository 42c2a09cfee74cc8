//! An assignment: the work of one subscription in one partition (or in all of them) while this process owns its lease.

pub(crate) mod creation;
pub(crate) mod held;
pub(crate) mod keeper;
pub(crate) mod plan_name;

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_core::catalog::Catalog;
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::positions::{LeaseEpoch, Position};
use sealbus_ledger::leases::keeper::Lease;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Span, error_span};

use crate::assignment::plan_name::PlanName;
use crate::handler::Handler;
use crate::metrics::SubscriptionMetrics;
use crate::seals::SealCheck;
use crate::settings::Settings;
use crate::subscription::SubscriptionSpec;

/// The resources that all subscriptions of a process have in common.
pub(crate) struct ProcessContext {
    pub ledger: Ledger,
    pub broker: Broker,
    pub catalog: Arc<Catalog>,
    pub seals: SealCheck,
    pub settings: Settings,
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

    /// Reads the subscription's positions in some plans. A plan that the ledger does not have is left out.
    pub(crate) async fn positions(&self, plans: &[&PlanName]) -> Result<HashMap<PlanName, Position>, LedgerError> {
        let names: Vec<(&str, &str)> = plans.iter().map(|name| (&*name.tenant, &*name.plan)).collect();
        let numbers = self.ledger().history().plan_nos(&names).await?;
        let mut positions = self
            .ledger()
            .positions()
            .read(self.subscription_no, &numbers.values().copied().collect::<Vec<_>>())
            .await?;
        let by_name = numbers.into_iter().filter_map(|((tenant, plan), plan_no)| {
            positions.remove(&plan_no).map(|position| (PlanName::new(&tenant, &plan), position))
        });
        Ok(by_name.collect())
    }

    /// Reads the subscription's position in one plan. Returns `None` if the ledger does not have the plan.
    pub(crate) async fn position(&self, plan: &PlanName) -> Result<Option<Position>, LedgerError> {
        Ok(self.positions(&[plan]).await?.remove(plan))
    }
}

impl Assignment {
    /// Creates the assignment for a lease of `kind` whose key is the partition, or any other text for all partitions.
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
