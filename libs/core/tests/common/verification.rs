//! A whole verification of what is in memory: what a command does with a ledger or a bundle.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use sealbus_core::envelope::{DataKey, Envelope, Unopened};
use sealbus_core::event::Record;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::bundle::{BundledRecord, Content, find_tile};
use sealbus_core::verify::{ChainCheck, Evidence, Notes, Report, Trust, UnansweredReceipts};
use uuid::Uuid;

/// What a verifier pins, and when it looks.
#[derive(Clone)]
pub(crate) struct Pinned {
    pub origin: String,
    pub keyring: Keyring,
    pub policy: Policy,
    pub now: u64,
    pub max_age: Option<u64>,
}

/// What is verified.
#[derive(Clone, Default)]
pub(crate) struct Evident {
    pub checkpoint: Vec<u8>,
    pub anchors: Vec<(String, Vec<u8>)>,
    /// By path. None of them: a bundle of plans.
    pub tiles: BTreeMap<String, Vec<u8>>,
    /// By tenant, plan and seq.
    pub records: Vec<BundledRecord>,
    /// A ledger's table of leaves.
    pub leaves: BTreeMap<u64, (String, String, u64)>,
    pub receipts: Vec<Record>,
    /// Places and event hashes of a ledger's sealing queue.
    pub queue: Vec<(String, String, u64, sealbus_core::hash::Hash)>,
    /// Where payloads are opened.
    pub data_keys: Option<Rc<DataKeys>>,
}

/// Those that are here, and those that are known to be erased.
#[derive(Default)]
pub(crate) struct DataKeys {
    pub here: HashMap<Uuid, DataKey>,
    pub erased: Vec<Uuid>,
}

impl Pinned {
    pub(crate) fn verify(&self, evident: &Evident) -> Report {
        let mut notes = Notes::new(&self.policy, &self.origin, self.now, self.max_age);
        let is_whole = !evident.tiles.is_empty();
        if is_whole {
            notes.checkpoint(&evident.checkpoint);
        } else {
            notes.anchored_checkpoint(&evident.checkpoint);
        }
        evident.anchors.iter().for_each(|(place, note)| notes.anchor(place, note));
        let mut tree = notes.tree();
        while let Some(id) = tree.wanted().filter(|_| is_whole) {
            tree.take(find_tile(id, |path| evident.tiles.get(path).cloned()).as_deref());
        }
        let log = if is_whole { notes.with_tree(tree) } else { notes.with_proofs() };

        let mut trust = Trust::new(&self.origin, self.keyring.clone(), [], log.size());
        evident.records.iter().filter_map(record).for_each(|record| trust.survey(record));
        let mut owed = UnansweredReceipts::default();
        for Record { header, event_hash, .. } in &evident.receipts {
            owed.add(&header.tenant, &header.plan, header.seq, *event_hash);
        }
        for (tenant, plan, seq, event_hash) in &evident.queue {
            owed.add(tenant, plan, *seq, *event_hash);
        }

        let mut report = Report::new(&log);
        for plan in evident.records.chunk_by(|one, other| (&one.tenant, &one.plan) == (&other.tenant, &other.plan)) {
            let mut check = ChainCheck::new(&trust, &plan[0].tenant, &plan[0].plan).against(&log).expecting(&owed);
            for BundledRecord { seq, content, .. } in plan {
                report.add(match content {
                    Content::Record(record, proof) => {
                        let evidence = Evidence { proof: proof.as_deref(), unopened: evident.unopened(record) };
                        check.next_with(record, &evidence)
                    }
                    Content::Malformed { event_hash, log_index, fault } => {
                        check.next_malformed(*seq, *event_hash, *log_index, &fault.to_string())
                    }
                });
            }
            report.add_plan(check.finish());
        }
        for index in log.unclaimed() {
            let place = evident.leaves.get(&index);
            report.add_unclaimed(index, place.map(|(tenant, plan, seq)| (tenant.as_str(), plan.as_str(), *seq)));
        }
        report.add(owed.missing());
        report
    }
}

impl Evident {
    fn unopened(&self, record: &Record) -> Option<Unopened> {
        let DataKeys { here, erased } = self.data_keys.as_deref()?;
        match Envelope::stored(record) {
            Err(error) => Some(error.into()),
            Ok(envelope) => {
                let envelope = envelope?;
                let key_id = envelope.key_id();
                envelope.open_stored(&record.header, here.get(&key_id), erased.contains(&key_id)).err()
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

/// All that was found: the verdict and where.
pub(crate) fn findings(report: &Report) -> Vec<(String, String)> {
    let of_log = report.log_findings().map(|finding| (finding.verdict.to_string(), finding.place));
    let of_plans = report.findings().map(|finding| (finding.verdict.to_string(), finding.place()));
    let mut all: Vec<_> = of_log.chain(of_plans).collect();
    all.sort();
    all
}

/// What a case says must be found.
pub(crate) fn expected(case: &serde_json::Value) -> Vec<(String, String)> {
    let pair = |finding: &serde_json::Value| {
        (finding[0].as_str().unwrap().to_owned(), finding[1].as_str().unwrap().to_owned())
    };
    let mut expected: Vec<_> = super::cases(case, "findings").iter().map(pair).collect();
    expected.sort();
    expected
}
