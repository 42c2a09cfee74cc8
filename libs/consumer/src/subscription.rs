//! What a subscription wants, and how it is worked.

use sealbus_core::event::Record;
use sealbus_core::names::{Subscription, Tenant, TypePattern};
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::subscriptions::Start;

/// A named consumer, as its owner declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// Its name: of its positions, leases, broker consumers and metrics.
    pub name: Subscription,
    /// The types it wants. What it does not want is passed over, in its place in the plan.
    pub types: Vec<TypePattern>,
    /// Whose plans it follows.
    pub tenants: Tenants,
    /// From where it is owed events. Read when it is created, and never again.
    pub start: Start,
    /// How the work is shared out.
    pub parallelism: Parallelism,
    /// How often a failed event is tried again; where none, as the event's channel says.
    pub retry: Option<RetryPolicy>,
}

/// Whose plans a subscription follows. A plan of another tenant has no position in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// All but Sealbus' own.
    #[default]
    All,
    /// These, Sealbus' own only where it is named.
    Some(Vec<Tenant>),
}

/// How a subscription's work is shared out among processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parallelism {
    /// A share for each partition; processes take them up by leases.
    #[default]
    Partitions,
    /// One share of everything. Change it only while no process works for the subscription.
    One,
}

impl SubscriptionSpec {
    /// A subscription to everything of everybody, from the beginning, by the channels' policies.
    pub fn new(name: Subscription) -> Self {
        let types = TypePattern::parse("*").into_iter().collect();
        SubscriptionSpec {
            name,
            types,
            tenants: Tenants::default(),
            start: Start::default(),
            parallelism: Parallelism::default(),
            retry: None,
        }
    }

    /// Whether it follows plans of this tenant at all.
    pub fn follows(&self, tenant: &str) -> bool {
        match &self.tenants {
            Tenants::All => !tenant.starts_with('_'),
            Tenants::Some(tenants) => tenants.iter().any(|wanted| wanted.as_str() == tenant),
        }
    }

    /// Whether its handler runs for events of this type.
    pub fn wants_type(&self, event_type: &str) -> bool {
        self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether its handler runs for this event.
    pub fn wants(&self, record: &Record) -> bool {
        self.follows(&record.header.tenant) && self.wants_type(&record.header.event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tenants_are_all_but_the_bus_itself() {
        let mut spec = SubscriptionSpec::new(Subscription::parse("audit").unwrap());
        assert!(spec.follows("acme") && !spec.follows("_system") && spec.wants_type("delivery.redriven"));
        spec.tenants = Tenants::Some(vec![Tenant::system()]);
        assert!(spec.follows("_system") && !spec.follows("acme"));
        spec.types = vec![TypePattern::parse("payment.*").unwrap()];
        assert!(spec.wants_type("payment.settled") && !spec.wants_type("payment") && !spec.wants_type("order.made"));
    }
}
