//! How often a failed delivery is tried again, and after which pause: the retry policy of a channel or a subscription.
//!
//! A policy counts every run of a handler on one event, so `attempts: 1` means that nothing is retried. It is a pure
//! table of pauses: without a clock, and without jitter, since each parked plan waits for itself alone.

use std::time::Duration;

use serde::Deserialize;

/// The shape of the pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Each pause is twice the one before, up to the policy's `max`.
    Exponential,
    /// Each pause is the policy's `initial`.
    Fixed,
}

/// When a failed event is tried again, and when it becomes a dead letter.
///
/// Read from a catalog or subscriptions file as
/// `{ attempts: 5, backoff: exponential, initial: 100ms, max: 10s }`; what is left out is the default's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct RetryPolicy {
    /// Runs of the handler in all, the first included; at least 1.
    pub attempts: u32,
    /// How the pauses grow.
    pub backoff: Backoff,
    /// The pause after the first failed attempt.
    pub initial: Duration,
    /// The longest pause; not below `initial`. A fixed backoff never reaches it.
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, exponential, 100 ms to 5 s.
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::Exponential,
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// The pause after the failed attempt number `attempt` (from 1; 0 counts as 1). Never above `max`, never falling.
    pub fn delay(&self, attempt: u32) -> Duration {
        match self.backoff {
            Backoff::Fixed => self.initial,
            Backoff::Exponential => {
                let doublings = attempt.saturating_sub(1);
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.initial.saturating_mul(factor).min(self.max)
            }
        }
    }

    /// Whether an event that failed `attempts` times is a dead letter.
    pub fn spent(&self, attempts: u32) -> bool {
        attempts >= self.attempts
    }
}

/// A policy as a file spells it.
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

/// Why a written policy is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// `attempts: 0`: the handler would never run.
    #[error("attempts must be at least 1")]
    NoAttempts,
    /// The first pause exceeds the longest.
    #[error("initial must not be longer than max")]
    InitialAboveMax,
}

impl TryFrom<Written> for RetryPolicy {
    type Error = RetryError;

    fn try_from(written: Written) -> Result<Self, RetryError> {
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
            return Err(RetryError::NoAttempts);
        }
        if policy.initial > policy.max {
            return Err(RetryError::InitialAboveMax);
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
        fn pauses_never_fall_and_stay_between_initial_and_max(policy in policy(), attempt in 1..u32::MAX) {
            let pause = policy.delay(attempt);
            prop_assert!(policy.initial <= pause && pause <= policy.max);
            prop_assert!(pause <= policy.delay(attempt + 1));
        }

        #[test]
        fn an_exponential_pause_doubles_until_it_meets_max(policy in policy(), attempt in 1..31_u32) {
            let (pause, next) = (policy.delay(attempt), policy.delay(attempt + 1));
            match policy.backoff {
                Backoff::Fixed => prop_assert_eq!(next, policy.initial),
                Backoff::Exponential => prop_assert_eq!(next, (pause * 2).min(policy.max)),
            }
        }

        #[test]
        fn attempts_are_spent_once_and_for_all(policy in policy(), attempts in 0..50_u32) {
            prop_assert_eq!(policy.spent(attempts), attempts >= policy.attempts);
            prop_assert!(!policy.spent(0));
        }
    }

    #[test]
    fn shipped_policies() {
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
