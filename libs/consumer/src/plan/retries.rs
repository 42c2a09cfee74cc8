//! What follows a failed run of a handler: another try in memory, a pause in the ledger, or a dead letter. Pure.

use std::time::Duration;

use sealbus_core::retry::RetryPolicy;

/// The next step after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try again after a pause so short that the plan's messages are held meanwhile.
    Again(Duration),
    /// Park the plan; replay tries again after the pause.
    Park(Duration),
    /// All attempts are spent.
    Dead,
}

/// Decides after `attempts` failed runs in all, of which those in memory have `waited` so far and may wait `short` in all.
pub(crate) fn after_failure(policy: &RetryPolicy, attempts: u32, waited: Duration, short: Duration) -> Step {
    if policy.spent(attempts) {
        return Step::Dead;
    }
    let pause = policy.delay(attempts);
    if waited + pause <= short { Step::Again(pause) } else { Step::Park(pause) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::retry::Backoff;

    use super::*;

    proptest! {
        /// However the handler fails, it runs exactly as often as the policy says, and memory waits no longer than it may.
        #[test]
        fn all_attempts_are_used_and_memory_waits_shortly(attempts in 1..12_u32, initial in 1..2_000_u64, short in 0..3_000_u64, fixed: bool) {
            let backoff = if fixed { Backoff::Fixed } else { Backoff::Exponential };
            let policy = RetryPolicy { attempts, backoff, initial: Duration::from_millis(initial), max: Duration::from_secs(10) };
            let (short, mut waited, mut runs, mut parked) = (Duration::from_millis(short), Duration::ZERO, 0, false);
            loop {
                runs += 1;
                let short = if parked { Duration::ZERO } else { short };
                match after_failure(&policy, runs, waited, short) {
                    Step::Dead => break,
                    Step::Again(pause) => waited += pause,
                    Step::Park(_) => parked = true,
                }
                prop_assert!(parked || waited <= short);
            }
            prop_assert_eq!(runs, attempts);
        }
    }
}
