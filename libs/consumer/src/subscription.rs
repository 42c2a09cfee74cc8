//! What a subscription wants, and how it is worked.

use sealbus_core::event::Record;
use sealbus_core::names::{Subscription, Tenant, TypePattern};
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::subscriptions::Start;

/// A named consumer, as its owner declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// Its name: of its positions, leases, broker consumers and metrics.
    pub name: Subscription,
    /// What its handler runs for. What it does not want of a plan that it follows is passed over, in its place.
    pub wants: Interest,
    /// What it leaves to others, of that.
    pub except: Vec<Interest>,
    /// From where it is owed events. Read when it is created, and never again.
    pub start: Start,
    /// How the work is shared out.
    pub parallelism: Parallelism,
    /// How often a failed event is tried again; where none, as the event's channel says.
    pub retry: Option<RetryPolicy>,
}

/// Some types of some tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Event types.
    pub types: Vec<TypePattern>,
    /// Whose plans.
    pub tenants: Tenants,
}

/// Whose plans.
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

impl Tenants {
    fn include(&self, tenant: &str) -> bool {
        match self {
            Self::All => !tenant.starts_with('_'),
            Self::Some(tenants) => tenants.iter().any(|wanted| wanted.as_str() == tenant),
        }
    }
}

impl Interest {
    /// Everything of everybody.
    pub fn everything() -> Self {
        Self { types: TypePattern::parse("*").into_iter().collect(), tenants: Tenants::All }
    }

    fn includes(&self, tenant: &str, event_type: &str) -> bool {
        self.tenants.include(tenant) && self.types.iter().any(|pattern| pattern.matches(event_type))
    }
}

impl SubscriptionSpec {
    /// A subscription to everything of everybody, from the beginning, by the channels' policies.
    pub fn new(name: Subscription) -> Self {
        Self {
            name,
            wants: Interest::everything(),
            except: Vec::new(),
            start: Start::default(),
            parallelism: Parallelism::default(),
            retry: None,
        }
    }

    /// Whether it follows plans of this tenant at all. A plan of another has no position in it.
    pub fn follows(&self, tenant: &str) -> bool {
        self.wants.tenants.include(tenant)
    }

    /// Whether its handler runs for events of this tenant and type.
    pub fn runs_for(&self, tenant: &str, event_type: &str) -> bool {
        self.wants.includes(tenant, event_type) && !self.except.iter().any(|others| others.includes(tenant, event_type))
    }

    /// Whether its handler runs for this event.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        self.runs_for(&record.header.tenant, &record.header.event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(patterns: &[&str]) -> Vec<TypePattern> {
        patterns.iter().map(|pattern| TypePattern::parse(pattern).unwrap()).collect()
    }

    #[test]
    fn all_tenants_are_all_but_the_bus_itself() {
        let mut spec = SubscriptionSpec::new(Subscription::parse("audit").unwrap());
        assert!(spec.follows("acme") && !spec.follows("_system") && spec.runs_for("acme", "delivery.redriven"));
        spec.wants.tenants = Tenants::Some(vec![Tenant::system()]);
        assert!(spec.follows("_system") && !spec.follows("acme") && !spec.runs_for("acme", "key.added"));
        spec.wants.types = types(&["payment.*"]);
        assert!(spec.runs_for("_system", "payment.settled") && !spec.runs_for("_system", "payment"));
    }

    #[test]
    fn what_is_left_to_others_is_followed_and_not_run() {
        let mut rest = SubscriptionSpec::new(Subscription::parse("rest").unwrap());
        let acme = Tenants::Some(vec![Tenant::parse("acme").unwrap()]);
        rest.except = vec![Interest { types: types(&["payment.*", "order.made"]), tenants: acme }];
        assert!(
            rest.follows("acme") && !rest.runs_for("acme", "payment.settled") && !rest.runs_for("acme", "order.made")
        );
        assert!(rest.runs_for("acme", "order.sent") && rest.runs_for("other", "payment.settled"));
    }
}
