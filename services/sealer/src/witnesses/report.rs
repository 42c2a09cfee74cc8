//! Reports about witnesses to the operator. A report is logged when it changes and then once a minute, not with each
//! checkpoint.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Cosigned, Missing, Witnesses};
use crate::Metrics;

/// How long a report that did not change is not logged again.
const REPEAT_INTERVAL: Duration = Duration::from_mins(1);

/// Logs and counts the cosignatures of checkpoints.
#[derive(Default)]
pub(crate) struct Reporter {
    last: Option<(Report, Instant)>,
}

/// The part of a report that has to change for it to be logged again: without the details of a reason, which change all
/// the time.
#[derive(PartialEq, Eq)]
struct Report {
    has_quorum: bool,
    missing: Vec<(String, Option<&'static str>)>,
}

impl Reporter {
    /// Counts the outcome of each witness for a checkpoint of this size, and logs which of them are missing.
    pub(crate) fn report(&mut self, witnesses: &Witnesses, cosigned: &Cosigned, size: u64, metrics: &Metrics) {
        let Cosigned { has_quorum, missing, .. } = cosigned;
        for witness in &witnesses.members {
            let missing = missing.iter().find(|missing| missing.witness == witness.name);
            metrics.witness_outcome(&witness.name, missing.map_or("cosigned", |missing| missing.reason.outcome()));
        }
        if !has_quorum {
            metrics.without_quorum.inc();
        }
        let alarms = missing.iter().map(|Missing { witness, reason }| (witness.clone(), reason.alarm())).collect();
        let report = Report { has_quorum: *has_quorum, missing: alarms };
        if self.last.as_ref().is_some_and(|(last, logged)| *last == report && logged.elapsed() < REPEAT_INTERVAL) {
            return;
        }
        let recovered = *has_quorum && self.last.as_ref().is_some_and(|(last, _)| !last.has_quorum);
        self.last = Some((report, Instant::now()));
        log(cosigned, size, recovered);
    }
}

fn log(Cosigned { has_quorum, missing, .. }: &Cosigned, size: u64, recovered: bool) {
    let alarming = joined(missing.iter().filter(|missing| missing.reason.alarm().is_some()));
    if !alarming.is_empty() {
        tracing::error!(
            size,
            witnesses = alarming,
            "ALARM: a witness knows another history of this log. Keep the witness's folder and all anchors as evidence, \
             and run `sealbus verify --all`"
        );
    }
    let missing = joined(missing.iter());
    if !has_quorum {
        tracing::error!(
            size,
            missing,
            "too few witnesses cosigned a checkpoint: it is anchored but not shown to readers; retrying with the next one"
        );
    } else if recovered {
        tracing::info!(size, missing, "checkpoints have their quorum of witnesses again");
    } else if !missing.is_empty() {
        tracing::warn!(size, missing, "a checkpoint has its quorum but lacks witnesses");
    }
}

fn joined<'a>(missing: impl Iterator<Item = &'a Missing>) -> String {
    missing.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.witness, self.reason)
    }
}
