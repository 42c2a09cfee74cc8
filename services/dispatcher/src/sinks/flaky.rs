//! A sink that keeps nothing and fails by rule: for trying out retries, parked plans and dead letters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError};
use serde::Deserialize;

/// When a flaky sink fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlakySpec {
    /// Plans that it fails for: names, in which `*` stands for any characters.
    pub plans: Vec<String>,
    /// How often it fails for each of their events, as this process counts; `always` if it never succeeds.
    pub fails: Fails,
}

/// How often an event fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenFails")]
pub enum Fails {
    /// The first so many attempts.
    First(u32),
    /// Every attempt.
    Always,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "fails is a number of attempts, or `always`")]
enum WrittenFails {
    First(u32),
    Always(Always),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Always {
    Always,
}

impl From<WrittenFails> for Fails {
    fn from(written: WrittenFails) -> Self {
        match written {
            WrittenFails::First(attempts) => Self::First(attempts),
            WrittenFails::Always(Always::Always) => Self::Always,
        }
    }
}

impl FlakySpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.plans.is_empty() { Err("plans: at least one name; [\"*\"] fails for all".into()) } else { Ok(()) }
    }
}

pub(super) fn handler(spec: &FlakySpec) -> Handler {
    Handler::External(Arc::new(Flaky { spec: spec.clone(), failed: Mutex::default() }))
}

struct Flaky {
    spec: FlakySpec,
    /// Failed attempts by event, of those that have not succeeded yet.
    failed: Mutex<HashMap<(String, String, u64), u32>>,
}

#[async_trait]
impl ExternalEffect for Flaky {
    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
        for delivery in run {
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
                    return Err(HandlerError::new(format!(
                        "flaky: attempt {attempts} for {} fails by rule",
                        delivery.key()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether a name is of a pattern in which `*` stands for any characters, or none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    // Wherever the rest matches will do, and at the end nothing follows.
    (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| matches(rest, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("a", "a"),
            ("order-*", "order-1"),
            ("*-7", "order-7"),
            ("o*r*7", "order-7"),
            ("é*", "éa"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("a", "ab"), ("order-*", "borders-1"), ("*-7", "order-77"), ("o*z*", "order")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
