//! The plans whose acknowledged rows an outbox scan passes over (`docs/spec/protocol.md#relay-1`). Pure.
//!
//! A scan asks for the smallest seq of each plan on its page. The rows of a plan that were deleted since the oldest transaction
//! anywhere began are still in the index, and a search from the plan's first row passes all of them. What the relay knows to be
//! acknowledged is therefore left out of the search.

use std::collections::HashMap;

use sealbus_ledger::outbox::KnownPlan;

/// The number of acknowledged events from which a plan is remembered. Fewer dead rows cost nothing.
const MIN_ACKNOWLEDGED: u64 = 256;
/// The number of plans of a generation.
const MAX_PLANS: usize = 512;

/// The plans that were found last, by their numbers, in two generations: when the newer one is full, it takes the place of the
/// older one.
#[derive(Debug, Default)]
pub(crate) struct KnownPlans {
    newer: HashMap<i64, u64>,
    older: HashMap<i64, u64>,
}

impl KnownPlans {
    /// Records that all events of a plan up to `acknowledged` are acknowledged.
    pub(crate) fn record(&mut self, plan_no: i64, acknowledged: u64) {
        if acknowledged < MIN_ACKNOWLEDGED {
            return;
        }
        if self.newer.len() >= MAX_PLANS && !self.newer.contains_key(&plan_no) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(plan_no, acknowledged + 1);
    }

    /// Returns the remembered plans, each once.
    pub(crate) fn list(&self) -> Vec<KnownPlan> {
        let older = self.older.iter().filter(|(plan_no, _)| !self.newer.contains_key(plan_no));
        self.newer.iter().chain(older).map(|(&plan_no, &next_seq)| KnownPlan { plan_no, next_seq }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plans_that_were_found_last_are_remembered_with_what_is_known_last() {
        let mut known = KnownPlans::default();
        known.record(-1, MIN_ACKNOWLEDGED - 1);
        assert_eq!(known.list(), []);
        known.record(-2, 1_000);
        known.record(-2, 1_010);
        assert_eq!(known.list(), [KnownPlan { plan_no: -2, next_seq: 1_011 }]);
        for plan_no in 0..10_000 {
            known.record(plan_no, 1_000);
            let list = known.list();
            assert!(list.len() <= 2 * MAX_PLANS);
            assert!(list.contains(&KnownPlan { plan_no, next_seq: 1_001 }));
        }
        assert!(!known.list().iter().any(|plan| plan.plan_no == -2));
    }
}
