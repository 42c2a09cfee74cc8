//! A complete verification of a ledger or bundle in memory, as the command `sealbus verify` performs it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use sealbus_core::envelope::{DataKey, Envelope, Unopened};
use sealbus_core::event::Record;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::bundle::{BundledRecord, Content, find_tile};
use sealbus_core::verify::{ChainCheck, LeafEvidence, Notes, Report, Trust, UnansweredReceipts};
use uuid::Uuid;

/// The pins of a verifier, its clock and its limit of age.
#[derive(Clone)]
pub(crate) struct Pins {
    pub origin: String,
    pub keyring: Keyring,
    pub policy: Policy,
    pub now: u64,
    pub max_age: Option<u64>,
}

/// The evidence that is verified.
#[derive(Clone, Default)]
pub(crate) struct Input {
    pub checkpoint: Vec<u8>,
    pub anchors: Vec<(String, Vec<u8>)>,
    /// By path. If empty, it is a bundle of plans.
    pub tiles: BTreeMap<String, Vec<u8>>,
    /// In order of tenant, plan and seq.
    pub records: Vec<BundledRecord>,
    /// The table of leaves of a ledger.
    pub leaves: BTreeMap<u64, (String, String, u64)>,
    pub receipts: Vec<Record>,
    /// Places and event hashes of the seal queue of a ledger.
    pub queue: Vec<(String, String, u64, sealbus_core::hash::Hash)>,
    /// The data keys, if payloads are opened.
    pub data_keys: Option<Rc<DataKeys>>,
}

/// The available data keys, and the ids of erased ones.
#[derive(Default)]
pub(crate) struct DataKeys {
    pub available: HashMap<Uuid, DataKey>,
    pub erased: Vec<Uuid>,
}

impl Pins {
    /// Verifies the evidence and returns the report.
    pub(crate) fn verify(&self, input: &Input) -> Report {
        let mut notes = Notes::new(&self.policy, &self.origin, self.now, self.max_age);
        let is_whole = !input.tiles.is_empty();
        if is_whole {
            notes.checkpoint(&input.checkpoint);
        } else {
            notes.anchored_checkpoint(&input.checkpoint);
        }
        input.anchors.iter().for_each(|(place, note)| notes.anchor(place, note));
        let mut tree = notes.tree();
        while let Some(id) = tree.wanted().filter(|_| is_whole) {
            tree.take(find_tile(id, |path| input.tiles.get(path).cloned()).as_deref());
        }
        let log = if is_whole { notes.with_tree(tree) } else { notes.with_proofs() };

        let mut trust = Trust::new(&self.origin, self.keyring.clone(), [], log.size());
        input.records.iter().filter_map(record).for_each(|record| trust.survey(record));
        let mut receipts = UnansweredReceipts::default();
        for Record { header, event_hash, .. } in &input.receipts {
            receipts.add(&header.tenant, &header.plan, header.seq, *event_hash);
        }
        for (tenant, plan, seq, event_hash) in &input.queue {
            receipts.add(tenant, plan, *seq, *event_hash);
        }

        let mut report = Report::new(&log);
        for plan in input.records.chunk_by(|one, other| (&one.tenant, &one.plan) == (&other.tenant, &other.plan)) {
            let mut check = ChainCheck::new(&trust, Some(&log), Some(&receipts), &plan[0].tenant, &plan[0].plan);
            for BundledRecord { seq, content, .. } in plan {
                report.add(match content {
                    Content::Record(record, proof) => {
                        let leaf = proof.as_deref().map_or(LeafEvidence::None, LeafEvidence::Proof);
                        check.next(record, leaf, input.unopened(record).as_ref())
                    }
                    Content::Malformed { event_hash, log_index, fault } => {
                        check.next_malformed(*seq, *event_hash, *log_index, fault)
                    }
                });
            }
            report.add_plan(check.finish());
        }
        for index in log.unclaimed() {
            let place = input.leaves.get(&index);
            report.add_unclaimed(index, place.map(|(tenant, plan, seq)| (tenant.as_str(), plan.as_str(), *seq)));
        }
        report.add(receipts.missing());
        report
    }
}

impl Input {
    /// Returns the reason why the payload of a record cannot be opened.
    fn unopened(&self, record: &Record) -> Option<Unopened> {
        let DataKeys { available, erased } = self.data_keys.as_deref()?;
        match Envelope::stored(record) {
            Err(error) => Some(error.into()),
            Ok(envelope) => {
                let envelope = envelope?;
                let key_id = envelope.key_id();
                envelope.open_stored(&record.header, available.get(&key_id), erased.contains(&key_id)).err()
            }
        }
    }
}

fn record(record: &BundledRecord) -> Option<&Record> {
    match &record.content {
        Content::Record(record, _) => Some(record),
        Content::Malformed { .. } => None,
    }
}

/// Returns the verdict and the place of each finding, sorted.
pub(crate) fn findings(report: &Report) -> Vec<(String, String)> {
    let of_log = report.log_findings().map(|finding| (finding.verdict.to_string(), finding.place));
    let of_plans = report.findings().map(|finding| (finding.verdict.to_string(), finding.place()));
    let mut all: Vec<_> = of_log.chain(of_plans).collect();
    all.sort();
    all
}

/// Returns the expected findings of a case, sorted.
pub(crate) fn expected(case: &serde_json::Value) -> Vec<(String, String)> {
    let pair = |finding: &serde_json::Value| {
        (finding[0].as_str().unwrap().to_owned(), finding[1].as_str().unwrap().to_owned())
    };
    let mut expected: Vec<_> = super::cases(case, "findings").iter().map(pair).collect();
    expected.sort();
    expected
}
