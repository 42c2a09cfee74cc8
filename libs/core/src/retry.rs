//! Retry policies of channels and subscriptions: how often a failed delivery is retried, and after which pauses.
//!
//! A policy counts every run of a handler for an event, so `attempts: 1` means that nothing is retried. The pauses have no
//! jitter: each parked plan is retried on its own, so retries do not come all at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the pauses between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Each pause is twice the previous one, up to the policy's `max`.
    Exponential,
    /// Every pause is the policy's `initial`.
    Fixed,
}

/// When a failed event is retried, and when it becomes a dead letter.
///
/// In a catalog or subscriptions file it is written as `{ attempts: 5, backoff: exponential, initial: 100ms, max: 10s }`.
/// Members that are left out have their default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct RetryPolicy {
    /// Total number of runs of the handler, including the first; at least 1.
    pub attempts: u32,
    /// How the pauses grow.
    pub backoff: Backoff,
    /// Pause after the first failed attempt.
    pub initial: Duration,
    /// Longest pause, at least `initial`. A fixed backoff does not use it.
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// Returns a policy of 3 attempts with exponential pauses from 100 ms to 5 s.
    fn default() -> Self {
        let (initial, max) = (Duration::from_millis(100), Duration::from_secs(5));
        Self { attempts: 3, backoff: Backoff::Exponential, initial, max }
    }
}

impl RetryPolicy {
    /// Returns the pause after the failed attempt `attempt`, counted from 1; 0 counts as 1. Pauses never decrease and never
    /// exceed `max`.
    pub fn delay(&self, attempt: u32) -> Duration {
        match self.backoff {
            Backoff::Fixed => self.initial,
            Backoff::Exponential => {
                let doublings = attempt.saturating_sub(1);
                // From 32 doublings on the factor stays at its largest value.
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.initial.saturating_mul(factor).min(self.max)
            }
        }
    }

    /// Returns whether an event that failed `attempts` times is a dead letter.
    pub fn spent(&self, attempts: u32) -> bool {
        attempts >= self.attempts
    }
}

/// A policy as it is written in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    attempts: Option<u32>,
    backoff: Option<Backoff>,
    #[serde(default, deserialize_with = "crate::duration::deserialize")]
    initial: Option<Duration>,
    #[serde(default, deserialize_with = "crate::duration::deserialize")]
    max: Option<Duration>,
}

impl TryFrom<Written> for RetryPolicy {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let default = Self::default();
        let backoff = written.backoff.unwrap_or(default.backoff);
        let initial = written.initial.unwrap_or(default.initial);
        let max = match (written.max, backoff) {
            (Some(max), _) => max,
            (None, Backoff::Fixed) => initial,
            (None, Backoff::Exponential) => default.max.max(initial),
        };
        let policy = Self { attempts: written.attempts.unwrap_or(default.attempts), backoff, initial, max };
        if policy.attempts == 0 {
            return Err("attempts must be at least 1");
        }
        if policy.initial > policy.max {
            return Err("initial must not be longer than max");
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = RetryPolicy> {
        (1..20_u32, any::<bool>(), 0..10_000_u64, 0..600_000_u64).prop_map(|(attempts, fixed, initial, more)| {
            RetryPolicy {
                attempts,
                backoff: if fixed { Backoff::Fixed } else { Backoff::Exponential },
                initial: Duration::from_millis(initial),
                max: Duration::from_millis(initial + more),
            }
        })
    }

    fn read(text: &str) -> Result<RetryPolicy, String> {
        serde_json::from_str(text).map_err(|refused| refused.to_string())
    }

    proptest! {
        #[test]
        fn pauses_never_decrease_and_stay_between_initial_and_max(policy in policy(), attempt in 1..u32::MAX) {
            let pause = policy.delay(attempt);
            prop_assert!(policy.initial <= pause && pause <= policy.max);
            prop_assert!(pause <= policy.delay(attempt + 1));
        }

        #[test]
        fn an_exponential_pause_doubles_up_to_max(policy in policy(), attempt in 1..31_u32) {
            let (pause, next) = (policy.delay(attempt), policy.delay(attempt + 1));
            match policy.backoff {
                Backoff::Fixed => prop_assert_eq!(next, policy.initial),
                Backoff::Exponential => prop_assert_eq!(next, (pause * 2).min(policy.max)),
            }
        }

        #[test]
        fn attempts_stay_spent(policy in policy(), attempts in 0..50_u32) {
            prop_assert_eq!(policy.spent(attempts), attempts >= policy.attempts);
            prop_assert!(!policy.spent(0));
        }
    }

    #[test]
    fn pauses_of_the_built_in_policies() {
        let audit = read(r#"{"attempts":5,"backoff":"exponential","initial":"100ms","max":"10s"}"#).unwrap();
        let pauses: Vec<_> = (1..=9).map(|attempt| audit.delay(attempt).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        let rbac = read(r#"{"attempts":2,"backoff":"fixed","initial":"200ms"}"#).unwrap();
        assert_eq!((rbac.delay(1), rbac.delay(9)), (Duration::from_millis(200), Duration::from_millis(200)));
        assert_eq!(read("{}").unwrap(), RetryPolicy::default());
    }

    #[test]
    fn a_bad_policy_is_refused_with_its_reason() {
        for (text, reason) in [
            (r#"{"attempts":0}"#, "attempts must be at least 1"),
            (r#"{"initial":"20s","max":"10s"}"#, "initial must not be longer than max"),
            (r#"{"initial":"fast"}"#, "`fast` is not a duration"),
            (r#"{"initial":"1.5s"}"#, "`1.5s` is not a duration"),
            (r#"{"initial":"18446744073709551615h"}"#, "is not a duration"),
            (r#"{"retries":3}"#, "unknown field `retries`"),
            (r#"{"backoff":"linear"}"#, "unknown variant `linear`"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
