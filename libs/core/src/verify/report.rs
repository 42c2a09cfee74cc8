//! What a verification came to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::verify::{ChainSummary, CheckedLog, Finding, LogFinding, Verdict, Vouched};

/// Counts, what is vouched for, and all findings: of each note, tile and place in a plan the first by the order of the checks.
///
/// Plans can be added in any order. As JSON it is INTERFACE's object of `sealbus verify -o json`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Records read.
    pub events: u64,
    /// Plans read.
    pub plans: u64,
    /// Records that have a leaf in the log.
    pub sealed: u64,
    /// MACs and older signatures that were passed over for want of their secret.
    pub unchecked: u64,
    /// What the newest anchor vouches for; `None` where nothing does.
    pub vouched: Option<Vouched>,
    of_log: BTreeMap<String, Found>,
    /// By tenant, plan and seq.
    of_plans: BTreeMap<(String, String, u64), Found>,
}

type Found = (Verdict, String);

/// A finding as it is shown: of the log, or of a place in a plan.
#[derive(Serialize)]
struct Shown<'r> {
    verdict: Verdict,
    r#where: String,
    tenant: Option<&'r str>,
    plan: Option<&'r str>,
    seq: Option<u64>,
    detail: &'r str,
}

impl Report {
    /// Begins with what was found of notes and tiles.
    pub fn new(log: &CheckedLog) -> Self {
        let mut report = Self { vouched: log.vouched(), ..Self::default() };
        log.findings().iter().cloned().for_each(|finding| report.add_of_log(finding));
        report
    }

    /// Adds what checking a plan came to. The findings that its check gave on the way are added by [`Report::add`].
    pub fn add_plan(&mut self, summary: ChainSummary) {
        self.plans += 1;
        self.events += summary.events;
        self.sealed += summary.sealed;
        self.unchecked += summary.unchecked;
        self.add(summary.findings);
    }

    /// Adds findings of plans.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for Finding { verdict, tenant, plan, seq, detail } in findings {
            keep_first(self.of_plans.entry((tenant, plan, seq)), verdict, detail);
        }
    }

    /// Adds a leaf that no record claims ([`CheckedLog::unclaimed`]). `place` is whose it is, tenant, plan and seq, where a
    /// ledger's table says so.
    pub fn add_unclaimed(&mut self, index: u64, place: Option<(&str, &str, u64)>) {
        let detail = format!("no record claims leaf {index} of the log");
        match place {
            Some((tenant, plan, seq)) => self.add([Finding {
                verdict: Verdict::MissingLeaf,
                tenant: tenant.to_owned(),
                plan: plan.to_owned(),
                seq,
                detail,
            }]),
            None => self.add_of_log(LogFinding::new(Verdict::MissingLeaf, format!("leaf {index}"), detail)),
        }
    }

    /// What is wrong with the log, by place.
    pub fn log_findings(&self) -> impl Iterator<Item = LogFinding> {
        self.of_log.iter().map(|(place, (verdict, detail))| LogFinding::new(*verdict, place, detail))
    }

    /// What is wrong with events, by tenant, plan and seq.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.of_plans.iter().map(|((tenant, plan, seq), (verdict, detail))| Finding {
            verdict: *verdict,
            tenant: tenant.clone(),
            plan: plan.clone(),
            seq: *seq,
            detail: detail.clone(),
        })
    }

    /// How `sealbus verify` ends: [`exit_code`] of all findings.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.of_log.values().chain(self.of_plans.values()).map(|(verdict, _)| *verdict))
    }

    fn add_of_log(&mut self, finding: LogFinding) {
        keep_first(self.of_log.entry(finding.place), finding.verdict, finding.detail);
    }

    fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        let of_log = self.of_log.iter().map(|(place, (verdict, detail))| Shown {
            verdict: *verdict,
            r#where: place.clone(),
            tenant: None,
            plan: None,
            seq: None,
            detail,
        });
        of_log.chain(self.of_plans.iter().map(|((tenant, plan, seq), (verdict, detail))| Shown {
            verdict: *verdict,
            r#where: format!("{tenant}/{plan}/{seq}"),
            tenant: Some(tenant),
            plan: Some(plan),
            seq: Some(*seq),
            detail,
        }))
    }
}

/// The exit code that verdicts come to: 0 where there is none but ERASED, 4 where UNANCHORED is all else, 3 for any other.
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>) -> u8 {
    let code = |verdict| match verdict {
        Verdict::Erased => 0,
        Verdict::Unanchored => 1,
        _ => 2,
    };
    [0, 4, 3][verdicts.into_iter().map(code).max().unwrap_or(0)]
}

fn keep_first<K: Ord>(entry: Entry<'_, K, Found>, verdict: Verdict, detail: String) {
    match entry {
        Entry::Vacant(vacant) => {
            vacant.insert((verdict, detail));
        }
        Entry::Occupied(mut held) if verdict < held.get().0 => {
            held.insert((verdict, detail));
        }
        Entry::Occupied(_) => {}
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { events, plans, sealed, unchecked, vouched, .. } = self;
        let mut report = serializer.serialize_struct("Report", 6)?;
        report.serialize_field("events", events)?;
        report.serialize_field("plans", plans)?;
        report.serialize_field("sealed", sealed)?;
        report.serialize_field("unchecked", unchecked)?;
        match vouched {
            Some(vouched) => report.serialize_field("vouched", vouched)?,
            // The members are there for whoever reads them without a look at what they stand in.
            None => report.serialize_field("vouched", &json!({ "log_index": null, "time": null }))?,
        }
        report.serialize_field("findings", &self.shown().collect::<Vec<_>>())?;
        report.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict, seq: u64) -> Finding {
        Finding { verdict, tenant: "acme".into(), plan: "p".into(), seq, detail: String::new() }
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        use Verdict::{Erased, Link, MissingLeaf, Stale, Unanchored};
        for (verdicts, code) in [
            (&[][..], 0),
            (&[Erased], 0),
            (&[Unanchored, Erased], 4),
            (&[Unanchored, Link, Erased], 3),
            (&[Stale], 3),
            (&[MissingLeaf, Unanchored], 3),
        ] {
            assert_eq!(exit_code(verdicts.iter().copied()), code, "{verdicts:?}");
        }
    }

    #[test]
    fn of_a_place_the_first_check_that_fails_is_told() {
        let mut report = Report::default();
        report.add([finding(Verdict::Unanchored, 2), finding(Verdict::Missing, 2), finding(Verdict::Erased, 1)]);
        report.add_unclaimed(7, Some(("acme", "p", 2)));
        report.add([finding(Verdict::Missing, 2)]);
        report.add_unclaimed(6, None);
        let verdicts: Vec<_> = report.findings().map(|finding| (finding.place(), finding.verdict)).collect();
        assert_eq!(verdicts, [("acme/p/1".into(), Verdict::Erased), ("acme/p/2".into(), Verdict::MissingLeaf)]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["vouched"], json!({"log_index": null, "time": null}));
        assert_eq!(
            json["findings"][0],
            json!({"verdict": "MISSING_LEAF", "where": "leaf 6", "tenant": null, "plan": null, "seq": null,
                   "detail": "no record claims leaf 6 of the log"})
        );
        assert_eq!(json["findings"][2]["where"], "acme/p/2");
    }

    #[test]
    fn what_is_vouched_for_has_whole_seconds() {
        let report = Report { vouched: Some(Vouched { log_index: 8, time: Some(1_763_600_462) }), ..Report::default() };
        let vouched = |report: &Report| serde_json::to_value(report).unwrap()["vouched"].clone();
        assert_eq!(vouched(&report), json!({"log_index": 8, "time": "2025-11-20T01:01:02Z"}));
        let untold = Report { vouched: Some(Vouched { log_index: 8, time: None }), ..report };
        assert_eq!(vouched(&untold), json!({"log_index": 8, "time": null}));
    }
}
