//! The report of a verification: counts, findings and the exit code.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::verify::{ChainSummary, CheckedLog, Finding, LogFinding, Verdict, Vouched};

/// The result of a verification. For each note, tile and event it has at most one finding: that of the first failed
/// check.
///
/// Plans can be added in any order. Serialises as the output of `sealbus verify -o json`
/// (`docs/spec/interface.md#commands-verify-output`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// The number of records read.
    pub events: u64,
    /// The number of plans read.
    pub plans: u64,
    /// The number of records that have a leaf in the log.
    pub sealed: u64,
    /// The number of MACs and v1 signatures that were not checked, because the verifier lacks the secret.
    pub unchecked: u64,
    /// The range for which the newest anchor vouches, if any.
    pub vouched: Option<Vouched>,
    /// The anchors of a ledger, and how each was read. Empty for a bundle, whose anchors are files of the bundle.
    pub anchors: Vec<AnchorRead>,
    findings: BTreeMap<Place, (Verdict, String)>,
}

/// An anchor, and how it was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AnchorRead {
    /// The name for operators, such as `file /var/lib/anchors`.
    pub name: String,
    /// How it was read.
    pub state: AnchorState,
    /// The number of notes that it holds; 0 if it was not read.
    pub notes: usize,
    /// The reason why it was not read.
    pub detail: Option<String>,
}

/// How an anchor was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AnchorState {
    /// All its notes were read.
    Read,
    /// It does not exist.
    Missing,
    /// It could not be read.
    Unreadable,
}

/// The place of a finding. Places are ordered like the findings of the JSON output.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    /// A place of the log.
    Log(String),
    /// The tenant, plan and seq of an event.
    Event(String, String, u64),
}

/// A finding in JSON. Tenant, plan and seq are null for a finding about the log.
#[derive(Serialize)]
struct JsonFinding<'r> {
    verdict: Verdict,
    r#where: String,
    tenant: Option<&'r str>,
    plan: Option<&'r str>,
    seq: Option<u64>,
    detail: &'r str,
}

impl Report {
    /// Creates a report with the findings about notes and tiles.
    pub fn new(log: &CheckedLog) -> Self {
        let mut report = Self { vouched: log.vouched(), ..Self::default() };
        for LogFinding { verdict, place, detail } in log.findings().iter().cloned() {
            report.keep_first_check(Place::Log(place), verdict, detail);
        }
        report
    }

    /// Adds the summary of a plan. The findings that [`ChainCheck::next`](crate::verify::ChainCheck::next) returned
    /// before are added with [`Report::add`].
    pub fn add_plan(&mut self, summary: ChainSummary) {
        self.plans += 1;
        self.events += summary.events;
        self.sealed += summary.sealed;
        self.unchecked += summary.unchecked;
        self.add(summary.findings);
    }

    /// Adds findings about events.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for Finding { verdict, tenant, plan, seq, detail } in findings {
            self.keep_first_check(Place::Event(tenant, plan, seq), verdict, detail);
        }
    }

    /// Adds a finding for a leaf that no record claims ([`CheckedLog::unclaimed`]). `place` is the tenant, plan and seq
    /// that a ledger's table of leaves has for the leaf, if any.
    pub fn add_unclaimed(&mut self, index: u64, place: Option<(&str, &str, u64)>) {
        let place = match place {
            Some((tenant, plan, seq)) => Place::Event(tenant.to_owned(), plan.to_owned(), seq),
            None => Place::Log(format!("leaf {index}")),
        };
        self.keep_first_check(place, Verdict::MissingLeaf, format!("no record claims leaf {index} of the log"));
    }

    /// Returns the findings about the log, ordered by place.
    pub fn log_findings(&self) -> impl Iterator<Item = LogFinding> {
        self.findings.iter().filter_map(|(place, (verdict, detail))| match place {
            Place::Log(place) => Some(LogFinding::new(*verdict, place, detail)),
            Place::Event(..) => None,
        })
    }

    /// Returns the findings about events, ordered by tenant, plan and seq.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.findings.iter().filter_map(|(place, (verdict, detail))| {
            let Place::Event(tenant, plan, seq) = place.clone() else { return None };
            Some(Finding { verdict: *verdict, tenant, plan, seq, detail: detail.clone() })
        })
    }

    /// Returns whether an event is missing of which the log, a receipt or the seal queue knows.
    pub fn has_missing_event(&self) -> bool {
        self.findings.values().any(|(verdict, _)| matches!(verdict, Verdict::MissingLeaf | Verdict::Missing))
    }

    /// Returns whether an anchor is missing or unreadable, so that its notes were not compared.
    pub fn lacks_anchor(&self) -> bool {
        self.anchors.iter().any(|anchor| anchor.state != AnchorState::Read)
    }

    /// Returns the [`exit_code`] of all findings.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.findings.values().map(|(verdict, _)| *verdict))
    }

    /// Keeps of the present and the new finding of a place the one whose check comes first.
    fn keep_first_check(&mut self, place: Place, verdict: Verdict, detail: String) {
        let kept = self.findings.entry(place).or_insert_with(|| (verdict, detail.clone()));
        if verdict < kept.0 {
            *kept = (verdict, detail);
        }
    }
}

/// Returns the exit code of a verification with these verdicts (`docs/spec/integrity.md#verify-exit`): 0 if there are no
/// verdicts or all are ERASED, 4 if all are UNANCHORED or ERASED and at least one is UNANCHORED, otherwise 3.
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>) -> u8 {
    let severity = |verdict| match verdict {
        Verdict::Erased => 0,
        Verdict::Unanchored => 1,
        _ => 2,
    };
    [0, 4, 3][verdicts.into_iter().map(severity).max().unwrap_or(0)]
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { events, plans, sealed, unchecked, vouched, anchors, .. } = self;
        let mut report = serializer.serialize_struct("Report", 7)?;
        report.serialize_field("events", events)?;
        report.serialize_field("plans", plans)?;
        report.serialize_field("sealed", sealed)?;
        report.serialize_field("unchecked", unchecked)?;
        match vouched {
            Some(vouched) => report.serialize_field("vouched", vouched)?,
            // Readers can rely on both members being present.
            None => report.serialize_field("vouched", &json!({ "log_index": null, "time": null }))?,
        }
        report.serialize_field("anchors", anchors)?;
        let findings = self.findings.iter().map(|(place, (verdict, detail))| {
            let (r#where, tenant, plan, seq) = match place {
                Place::Log(place) => (place.clone(), None, None, None),
                Place::Event(tenant, plan, seq) => {
                    (format!("{tenant}/{plan}/{seq}"), Some(tenant.as_str()), Some(plan.as_str()), Some(*seq))
                }
            };
            JsonFinding { verdict: *verdict, r#where, tenant, plan, seq, detail }
        });
        report.serialize_field("findings", &findings.collect::<Vec<_>>())?;
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
    fn the_exit_code_is_that_of_the_most_severe_verdict() {
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
    fn each_place_has_the_finding_of_the_first_failed_check() {
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
    fn the_vouched_time_has_whole_seconds() {
        let report = Report { vouched: Some(Vouched { log_index: 8, time: Some(1_763_600_462) }), ..Report::default() };
        let vouched = |report: &Report| serde_json::to_value(report).unwrap()["vouched"].clone();
        assert_eq!(vouched(&report), json!({"log_index": 8, "time": "2025-11-20T01:01:02Z"}));
        let without_time = Report { vouched: Some(Vouched { log_index: 8, time: None }), ..report };
        assert_eq!(vouched(&without_time), json!({"log_index": 8, "time": null}));
    }
}
