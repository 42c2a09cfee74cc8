//! Subscriptions: which events a handler runs for, and how the work on them is divided.

use sealbus_core::event::Record;
use sealbus_core::names::{Subscription, Tenant, TypePattern};
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::subscriptions::Start;

/// A subscription as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// The name. Positions, leases, broker consumers and metrics have it.
    pub name: Subscription,
    /// The events that the handler runs for. The position moves past all other events of the same tenants.
    pub wants: Interest,
    /// Exceptions from `wants`: events that the handler does not run for.
    pub except: Vec<Interest>,
    /// Where the subscription starts. It is read when the subscription is created and ignored afterwards.
    pub start: Start,
    /// How the work is divided among processes.
    pub parallelism: Parallelism,
    /// The retry policy. `None` means the retry policy of the event's channel.
    pub retry: Option<RetryPolicy>,
}

/// Some event types of some tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The event types.
    pub types: Vec<TypePattern>,
    /// The tenants.
    pub tenants: Tenants,
}

/// A set of tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// All tenants except Sealbus' own, whose names begin with `_`.
    #[default]
    All,
    /// The listed tenants, which may include Sealbus' own.
    Some(Vec<Tenant>),
}

/// How the work on a subscription is divided among processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parallelism {
    /// Each partition is an assignment of its own, so that several processes share the work.
    #[default]
    Partitions,
    /// All partitions are one assignment. Change this only while no process works on the subscription.
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
    /// All event types of all tenants except Sealbus' own.
    pub fn everything() -> Self {
        Self { types: vec![TypePattern::parse("*").expect("* is a type pattern")], tenants: Tenants::All }
    }

    fn includes(&self, tenant: &str, event_type: &str) -> bool {
        self.tenants.include(tenant) && self.types.iter().any(|pattern| pattern.matches(event_type))
    }
}

impl SubscriptionSpec {
    /// A subscription to everything, from the beginning, in partitions, with the retry policies of the channels.
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

    /// Returns whether the subscription follows plans of this tenant. Plans of other tenants have no position in it.
    pub fn follows(&self, tenant: &str) -> bool {
        self.wants.tenants.include(tenant)
    }

    /// Returns whether the handler runs for events of this tenant and type.
    pub fn runs_for(&self, tenant: &str, event_type: &str) -> bool {
        self.wants.includes(tenant, event_type) && !self.except.iter().any(|others| others.includes(tenant, event_type))
    }

    /// Returns whether the handler runs for this event.
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
    fn all_tenants_does_not_include_the_system_tenant() {
        let mut spec = SubscriptionSpec::new(Subscription::parse("audit").unwrap());
        assert!(spec.follows("acme") && !spec.follows("_system") && spec.runs_for("acme", "delivery.redriven"));
        spec.wants.tenants = Tenants::Some(vec![Tenant::system()]);
        assert!(spec.follows("_system") && !spec.follows("acme") && !spec.runs_for("acme", "key.added"));
        spec.wants.types = types(&["payment.*"]);
        assert!(spec.runs_for("_system", "payment.settled") && !spec.runs_for("_system", "payment"));
    }

    #[test]
    fn an_excepted_type_is_followed_but_not_run() {
        let mut rest = SubscriptionSpec::new(Subscription::parse("rest").unwrap());
        let acme = Tenants::Some(vec![Tenant::parse("acme").unwrap()]);
        rest.except = vec![Interest { types: types(&["payment.*", "order.made"]), tenants: acme }];
        assert!(
            rest.follows("acme") && !rest.runs_for("acme", "payment.settled") && !rest.runs_for("acme", "order.made")
        );
        assert!(rest.runs_for("acme", "order.sent") && rest.runs_for("other", "payment.settled"));
    }
}
