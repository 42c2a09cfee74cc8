//! The name of a plan.

use std::fmt;
use std::sync::Arc;

/// A plan's tenant and name.
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

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.plan)
    }
}
