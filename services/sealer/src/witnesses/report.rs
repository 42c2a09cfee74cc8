//! What an operator is told of witnesses: once when it changes, and again each minute, not with each checkpoint.

use std::time::{Duration, Instant};

use super::{Cosigned, Missing, Witnesses};
use crate::Metrics;

/// How long the same words are not said again.
const AGAIN: Duration = Duration::from_mins(1);

/// What was said last.
#[derive(Default)]
pub(crate) struct Reports {
    said: Option<(Standing, Instant)>,
}

/// What has to change for something new to be said.
#[derive(PartialEq, Eq)]
struct Standing {
    reached: bool,
    missing: Vec<(String, Option<&'static str>)>,
}

impl Reports {
    /// Counts the witnesses of a checkpoint of this size, and says who is missing.
    pub(crate) fn report(&mut self, witnesses: &Witnesses, cosigned: &Cosigned, size: u64, metrics: &Metrics) {
        let Cosigned { reached, missing, .. } = cosigned;
        for name in witnesses.names() {
            let why = missing.iter().find(|missing| missing.witness == name);
            metrics.asked(name, why.map_or("cosigned", |missing| missing.why.outcome()));
        }
        if !reached {
            metrics.without_quorum.inc();
        }
        let named = missing.iter().map(|Missing { witness, why }| (witness.clone(), why.alarm())).collect();
        let standing = Standing { reached: *reached, missing: named };
        let before = self.said.as_ref().map(|(standing, _)| standing);
        if before == Some(&standing) && self.said.as_ref().is_some_and(|(_, at)| at.elapsed() < AGAIN) {
            return;
        }
        let recovered = *reached && before.is_some_and(|before| !before.reached);
        self.said = Some((standing, Instant::now()));
        let listed = |wanted: &dyn Fn(&Missing) -> bool| {
            let texts: Vec<_> = missing.iter().filter(|missing| wanted(missing)).map(ToString::to_string).collect();
            texts.join("; ")
        };
        let alarming = listed(&|missing| missing.why.alarm().is_some());
        if !alarming.is_empty() {
            tracing::error!(
                size,
                witnesses = alarming,
                "ALARM: a witness knows another history of this log; keep the witness's folder and all anchors as evidence, and \
                 run `sealbus verify --all`"
            );
        }
        let missing = listed(&|_| true);
        if !reached {
            tracing::error!(
                size,
                missing,
                "too few witnesses cosigned a checkpoint: it is anchored without a quorum, readers keep the newest one that has \
                 one, and the witnesses are asked again with the next"
            );
        } else if recovered {
            tracing::info!(size, missing, "checkpoints have their quorum of witnesses again");
        } else if !missing.is_empty() {
            tracing::warn!(size, missing, "a checkpoint has its quorum, and lacks witnesses");
        }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.witness, self.why)
    }
}
