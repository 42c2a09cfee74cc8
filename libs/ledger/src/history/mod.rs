//! Reads of stored events.
//!
//! [`History`] returns events as [`Record`](sealbus_core::event::Record)s, as they are stored, with their log index if they are
//! sealed. Nothing is verified here. The caller bounds the number of events of a page, and [`MAX_READ_BYTES`] their size. Pages
//! of a plan are ordered by seq and pages of all events by log index, so that a cursor stays valid after a restore or a failover.

mod export;
mod lookup;
pub(crate) mod record;
mod trail;

use std::fmt;

use sealbus_core::names::{Plan, Tenant};

pub use self::export::ExportedEvent;
pub use self::lookup::Head;
pub use self::record::MAX_READ_BYTES;
pub use self::trail::{LogPage, MAX_EXAMINED, PageQuery, PlanPage};
use crate::Ledger;

/// Read access to the stored events, from [`Ledger::history`].
#[derive(Clone, Copy)]
pub struct History<'a> {
    pub(crate) ledger: &'a Ledger,
}

/// The plans that are verified or exported.
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
    /// Returns the scope of plan `_keys`, which says which keys count.
    pub fn keys() -> Self {
        Self::Plan(Tenant::system(), Plan::keys())
    }

    /// Returns whether the scope includes plan `_keys`. Every seal depends on a key, so that plan is always verified too.
    pub fn holds_keys(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Tenant(tenant) => *tenant == Tenant::system(),
            Self::Plan(tenant, plan) => *tenant == Tenant::system() && *plan == Plan::keys(),
        }
    }

    /// Returns the tenant and the plan to which the scope is limited.
    pub(crate) fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Everything => (None, None),
            Self::Tenant(tenant) => (Some(tenant.as_str()), None),
            Self::Plan(tenant, plan) => (Some(tenant.as_str()), Some(plan.as_str())),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("all tenants"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Plan(tenant, plan) => write!(f, "plan {plan} of tenant {tenant}"),
        }
    }
}
