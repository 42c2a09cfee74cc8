//! A sample deployment: keys, the records of a few plans, a log and its anchors.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::Node;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::proof::EventProof;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::log::tile::{HashTile, TileId, TileKind};
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::verify::Report;
use sealbus_core::verify::bundle::{BundledRecord, read_record, write_record};
use serde_json::json;

use crate::common::bundle::by_place;
use crate::common::chain::{self, ORIGIN};
use crate::common::log::{Tree, signers};
use crate::common::verification::{Input, Pins};

/// The time, in seconds since 1970, at which the sample chains of [`chain`] start.
const RECORDED: u64 = 1_795_168_800;
const PLANS: [(&str, &str); 3] = [("acme", "order-1"), ("acme", "order-2"), ("other", "order-1")];

/// The keys and the records of a deployment.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    keyring: Keyring,
    signer: Signer,
    log: LogSigner,
    witness: WitnessSigner,
    /// In order of sealing, followed by the unsealed records.
    pub records: Vec<Record>,
    /// The size of the older anchor.
    pub anchored: u64,
}

/// Returns a deployment with an event of each of these plans, in this order. The last `unsealed` events have no leaf.
fn deployment(order: &[usize], unsealed: usize, anchored: Index) -> Deployment {
    let keyring = chain::keyring(1);
    let signer = keyring.signer().unwrap();
    let (log, witness) = signers(ORIGIN, 3, "witness.test", 4);
    let mut records = vec![chain::first_key(&signer)];
    for (number, plan) in order.iter().enumerate() {
        let (tenant, plan) = PLANS[*plan];
        let predecessor =
            records.iter().rfind(|record| (&*record.header.tenant, &*record.header.plan) == (tenant, plan));
        let mut next = chain::next(&signer, tenant, plan, predecessor, &json!({ "n": number }));
        let sealed = number + unsealed < order.len();
        next.log_index = sealed.then(|| 1 + u64::try_from(number).unwrap());
        records.push(next);
    }
    let anchored = u64::try_from(anchored.index(records.len() - unsealed - 1)).unwrap();
    Deployment { keyring, signer, log, witness, records, anchored }
}

impl Deployment {
    /// Returns the tree over the sealed records.
    pub(crate) fn tree(&self) -> Tree {
        let mut sealed: Vec<&Record> = self.records.iter().filter(|record| record.log_index.is_some()).collect();
        sealed.sort_by_key(|record| record.log_index);
        Tree::of(&sealed.into_iter().map(Record::leaf_hash).collect::<Vec<_>>(), 3)
    }

    /// Returns the note of the tree at `size`, signed by the log and the witness.
    fn note(&self, tree: &Tree, size: u64) -> Note {
        let hashes: Vec<Hash> = (0..size).map(|index| leaf(tree, index)).collect();
        let root = Tree::of(&hashes, 5).edge.root();
        let (checkpoint, time) = (Checkpoint::new(ORIGIN, size, root).unwrap(), RECORDED + 60 + size);
        let note = self.log.sign(&checkpoint, time).unwrap();
        let lines = [note.signatures(), &[self.witness.cosign(&checkpoint, time)]].concat();
        Note::new(note.text().to_owned(), lines).unwrap()
    }

    /// Returns the whole ledger, as it is stored or exported.
    pub(crate) fn whole(&self) -> Input {
        let tree = self.tree();
        let size = tree.edge.size();
        let tiles = (0..8).flat_map(|level| TileId::all(TileKind::Hashes(level), size)).map(|id| {
            let tile = HashTile::new(id, tree.tiles.hashes(id).unwrap().to_vec()).unwrap();
            (id.to_string(), tile.encode())
        });
        let note = |size| self.note(&tree, size).to_string().into_bytes();
        Input {
            checkpoint: note(size),
            anchors: vec![("anchors/0".into(), note(self.anchored)), ("anchors/1".into(), note(size))],
            tiles: tiles.collect(),
            records: by_place(self.records.iter().map(|record| bundled(record, None)).collect()),
            ..Input::default()
        }
    }

    /// Returns the ledger as a bundle of plans, in which each sealed event has its proof.
    pub(crate) fn plans(&self) -> Input {
        let (tree, whole) = (self.tree(), self.whole());
        let note = self.note(&tree, tree.edge.size());
        let records = self.records.iter().map(|record| {
            let proof = record.log_index.map(|index| {
                let hashes = tree.inclusion(index, tree.edge.size());
                EventProof { leaf: record.leaf(), index, hashes, note: note.clone() }.to_string()
            });
            bundled(record, proof.as_deref())
        });
        Input { tiles: BTreeMap::new(), records: by_place(records.collect()), ..whole }
    }

    /// Verifies evidence with the pins of this deployment.
    pub(crate) fn verify(&self, input: &Input) -> Report {
        let policy = format!("log {}\nwitness w {}\nquorum w\n", self.log.verifier_key(), self.witness.verifier_key());
        let pins = Pins {
            origin: ORIGIN.into(),
            keyring: self.keyring.clone(),
            policy: Policy::parse(policy.as_bytes()).unwrap(),
            now: RECORDED + 100,
            max_age: Some(180),
        };
        pins.verify(input)
    }

    /// Rewrites the plan of a record from this record on, sealed with the key of the deployment.
    pub(crate) fn rewrite(&mut self, from: usize) {
        let Record { header, .. } = &self.records[from];
        let (tenant, plan) = (header.tenant.clone(), header.plan.clone());
        let mut before: Option<Hash> = None;
        for record in &mut self.records[from..] {
            if (&record.header.tenant, &record.header.plan) == (&tenant, &plan) {
                match before {
                    None => record.header.actor = "somebody else".into(),
                    Some(before) => record.header.prev = before,
                }
                *record = chain::sealed(&self.signer, record.clone());
                before = Some(record.event_hash);
            }
        }
    }

    /// Returns the whole ledger without anchors.
    pub(crate) fn whole_without_anchors(&self) -> Input {
        let of_all = Self { anchored: 0, ..self.clone() };
        Input { anchors: Vec::new(), ..of_all.whole() }
    }
}

fn leaf(tree: &Tree, index: u64) -> Hash {
    tree.tiles.hash(Node { level: 0, index }).unwrap()
}

/// Writes a record and reads it again.
pub(crate) fn bundled(record: &Record, proof: Option<&str>) -> BundledRecord {
    read_record(write_record(record, proof).as_bytes(), ORIGIN).unwrap()
}

/// Generates deployments: events of a few plans in any order, of which the last few are unsealed, and an older anchor.
pub(crate) fn deployments() -> impl Strategy<Value = Deployment> {
    (prop::collection::vec(0..PLANS.len(), 1..14), 0..3_usize, any::<Index>())
        .prop_map(|(order, unsealed, anchored)| deployment(&order, unsealed.min(order.len() - 1), anchored))
}
