//! A share: the work of one subscription in one partition (or in all), while this process holds the lease on it.

pub(crate) mod held;
pub(crate) mod lease;
pub(crate) mod partition;
pub(crate) mod runtime;

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::catalog::Catalog;
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::positions::Standing;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::Semaphore;

use crate::assignment::lease::Lease;
use crate::handler::Handler;
use crate::intake::seals::Intake;
use crate::metrics::SubscriptionMetrics;
use crate::settings::Settings;
use crate::subscription::SubscriptionSpec;

/// A plan by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlanName {
    pub tenant: Arc<str>,
    pub plan: Arc<str>,
}

impl PlanName {
    pub(crate) fn new(tenant: &str, plan: &str) -> Self {
        Self { tenant: tenant.into(), plan: plan.into() }
    }
}

impl std::fmt::Display for PlanName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tenant, self.plan)
    }
}

/// What all subscriptions of a process share.
pub(crate) struct Process {
    pub ledger: Ledger,
    pub broker: sealbus_broker::Broker,
    pub catalog: Arc<Catalog>,
    pub intake: Intake,
    pub settings: Settings,
}

/// One subscription as this process works for it.
pub(crate) struct Worked {
    pub process: Arc<Process>,
    pub spec: SubscriptionSpec,
    pub name: Arc<str>,
    pub subscription_no: i64,
    pub handler: Handler,
    /// One for each connection that its effects may hold at once, so that a slow handler leaves some to everybody else.
    pub transactions: Semaphore,
    pub metrics: SubscriptionMetrics,
}

/// A subscription's work in one partition, under one epoch of its lease.
#[derive(Clone)]
pub(crate) struct Share {
    pub worked: Arc<Worked>,
    /// None: all of them.
    pub partition: Option<u32>,
    pub lease: Lease,
}

impl Worked {
    /// How a failed event of this type is tried again.
    pub(crate) fn policy(&self, event_type: &str) -> RetryPolicy {
        self.spec.retry.clone().unwrap_or_else(|| self.process.catalog.policy(event_type))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.process.settings
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.process.ledger
    }

    /// Where the subscription stands in these plans; a plan that the ledger does not know stands nowhere.
    pub(crate) async fn standings(&self, plans: &[&PlanName]) -> Result<HashMap<PlanName, Standing>, LedgerError> {
        let names: Vec<(&str, &str)> = plans.iter().map(|name| (&*name.tenant, &*name.plan)).collect();
        let numbers = self.ledger().history().plan_nos(&names).await?;
        let mut standings = self
            .ledger()
            .positions()
            .read(self.subscription_no, &numbers.values().copied().collect::<Vec<_>>())
            .await?;
        let by_name = numbers.into_iter().filter_map(|((tenant, plan), plan_no)| {
            standings.remove(&plan_no).map(|standing| (PlanName::new(&tenant, &plan), standing))
        });
        Ok(by_name.collect())
    }
}
