//! A sink that stores nothing and fails by rule, for trying out retries, parked plans and dead letters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, HandlerError};
use serde::Deserialize;

/// The options of a flaky sink.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlakySpec {
    /// The plans that it fails for: names in which `*` matches any text.
    pub plans: Vec<String>,
    /// How many attempts fail for each of their events, counted by this process; `always` means all of them.
    pub fails: Fails,
}

/// How many attempts fail for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "fails is a number of attempts, or `always`")]
pub enum Fails {
    /// Every attempt.
    Always,
    /// This number of attempts.
    #[serde(untagged)]
    First(u32),
}

impl FlakySpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.plans.is_empty() {
            Err("plans: list at least one name; [\"*\"] means all plans".into())
        } else {
            Ok(())
        }
    }
}

/// A flaky sink, with its failed attempts so far.
pub(super) struct Flaky {
    spec: FlakySpec,
    /// The failed attempts for each event that has not succeeded yet.
    failed: Mutex<HashMap<(String, String, u64), u32>>,
}

impl Flaky {
    pub(super) fn new(spec: FlakySpec) -> Self {
        Self { spec, failed: Mutex::default() }
    }
}

#[async_trait]
impl ExternalEffect for Flaky {
    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
        for delivery in batch {
            let header = &delivery.record.header;
            if !self.spec.plans.iter().any(|pattern| matches(pattern, &header.plan)) {
                continue;
            }
            let key = (header.tenant.clone(), header.plan.clone(), header.seq);
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            let attempts = failed.entry(key.clone()).or_default();
            match self.spec.fails {
                Fails::First(first) if *attempts >= first => _ = failed.remove(&key),
                Fails::First(_) | Fails::Always => {
                    *attempts = attempts.saturating_add(1);
                    let reason = format!("flaky: attempt {attempts} for {} fails by rule", delivery.key());
                    return Err(HandlerError::new(reason));
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a name matches a pattern in which `*` matches any text, or none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    // The `*` matches the text up to any place where the rest of the pattern matches the rest of the name.
    (0..=name.len()).filter(|end| name.is_char_boundary(*end)).any(|end| matches(rest, &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("a", "a"),
            ("order-*", "order-1"),
            ("*-7", "order-7"),
            ("o*r*7", "order-7"),
            ("é*", "éa"),
        ] {
            assert!(matches(pattern, name), "{name} does not match {pattern}");
        }
        for (pattern, name) in
            [("", "a"), ("a", "ab"), ("order-*", "borders-1"), ("*-7", "order-77"), ("o*z*", "order")]
        {
            assert!(!matches(pattern, name), "{name} matches {pattern}");
        }
    }
}
