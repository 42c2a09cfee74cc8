//! The name of a plan.

use std::sync::Arc;

/// A plan's tenant and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanName {
    pub tenant: Arc<str>,
    pub plan: Arc<str>,
}

impl PlanName {
    pub(crate) fn new(tenant: &str, plan: &str) -> Self {
        Self { tenant: tenant.into(), plan: plan.into() }
    }
}
