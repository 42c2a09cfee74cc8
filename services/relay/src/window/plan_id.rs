//! The identity of a plan in memory.

use std::sync::Arc;

use sealbus_core::event::Header;

/// A plan, by its tenant and name. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanId {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The plan's name.
    pub name: Arc<str>,
}

impl PlanId {
    /// Returns the plan of an event.
    pub(crate) fn of(header: &Header) -> Self {
        Self { tenant: header.tenant.as_str().into(), name: header.plan.as_str().into() }
    }
}
