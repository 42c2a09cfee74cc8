//! The rule for what follows a failed call of a handler. It is pure.

use std::time::Duration;

use sealbus_core::retry::RetryPolicy;

/// What follows a failed call of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryStep {
    /// Call it again after this pause, which is so short that the plan's messages are kept in memory meanwhile.
    Retry(Duration),
    /// Park the plan; replay calls the handler again after this pause.
    Park(Duration),
    /// The attempts are used up: the event is a dead letter.
    Dead,
}

/// Decides what follows the failed attempt number `attempts`, when `held` of the `budget` for retries in memory is used.
pub(crate) fn after_failure(policy: &RetryPolicy, attempts: u32, held: Duration, budget: Duration) -> RetryStep {
    if policy.spent(attempts) {
        return RetryStep::Dead;
    }
    let pause = policy.delay(attempts);
    if held + pause <= budget { RetryStep::Retry(pause) } else { RetryStep::Park(pause) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::retry::Backoff;

    use super::*;

    proptest! {
        /// A handler that always fails is called exactly as often as the policy allows, and the pauses in memory stay
        /// within their budget.
        #[test]
        fn all_attempts_are_used_and_pauses_in_memory_stay_within_the_budget(attempts in 1..12_u32, initial in 1..2_000_u64, budget in 0..3_000_u64, fixed: bool) {
            let backoff = if fixed { Backoff::Fixed } else { Backoff::Exponential };
            let policy = RetryPolicy { attempts, backoff, initial: Duration::from_millis(initial), max: Duration::from_secs(10) };
            let (budget, mut paused, mut calls, mut parked) = (Duration::from_millis(budget), Duration::ZERO, 0, false);
            loop {
                calls += 1;
                let budget = if parked { Duration::ZERO } else { budget };
                match after_failure(&policy, calls, paused, budget) {
                    RetryStep::Dead => break,
                    RetryStep::Retry(pause) => paused += pause,
                    RetryStep::Park(_) => parked = true,
                }
                prop_assert!(parked || paused <= budget, "pauses in memory exceed their budget");
            }
            prop_assert_eq!(calls, attempts);
        }
    }
}
