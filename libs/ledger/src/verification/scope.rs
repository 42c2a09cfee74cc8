//! What a verification is of.

use sealbus_core::names::{Plan, Tenant};

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every plan of every tenant.
    Everything,
    /// Every plan of one tenant.
    Tenant(Tenant),
    /// One plan.
    Plan(Tenant, Plan),
}

impl Scope {
    /// The plan that says which keys count.
    pub fn keys() -> Self {
        Self::Plan(Tenant::system(), Plan::keys())
    }

    /// Whether the plan of keys is in it. A seal is worth what its key is: whatever is checked, that plan is to be checked too.
    pub fn holds_keys(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Tenant(tenant) => *tenant == Tenant::system(),
            Self::Plan(tenant, plan) => *tenant == Tenant::system() && *plan == Plan::keys(),
        }
    }

    /// Tenant and plan, where it is bound to them.
    pub(crate) fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Everything => (None, None),
            Self::Tenant(tenant) => (Some(tenant.as_str()), None),
            Self::Plan(tenant, plan) => (Some(tenant.as_str()), Some(plan.as_str())),
        }
    }
}
