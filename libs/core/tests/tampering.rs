//! A ledger with its log and anchors, untouched and tampered with at random: untouched it is clean, and whatever was done to it
//! is found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::proof::EventProof;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::log::tile::{HashTile, TileId, TileKind};
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::verify::Report;
use sealbus_core::verify::bundle::{BundledRecord, Content, read_record, write_record};
use serde_json::{Value, json};

use crate::common::bundle::by_place;
use crate::common::chain::{self, ORIGIN};
use crate::common::log::{Tree, signers};
use crate::common::verification::{Evident, Pinned, findings};

/// The seconds at which the chains of [`chain`] are recorded begin here.
const RECORDED: u64 = 1_795_168_800;
const PLANS: [(&str, &str); 3] = [("acme", "order-1"), ("acme", "order-2"), ("other", "order-1")];

/// All keys of a deployment, and what it has written.
#[derive(Clone, Debug)]
struct Deployment {
    keyring: Keyring,
    signer: Signer,
    log: LogSigner,
    witness: WitnessSigner,
    /// In the order of sealing; those without a log index behind.
    records: Vec<Record>,
    /// The size of the older anchor.
    anchored: u64,
}

/// Events of the plans in this order, of which the last `unsealed` have no leaf.
fn deployment(order: &[usize], unsealed: usize, anchored: Index) -> Deployment {
    let keyring = chain::keyring(1);
    let signer = keyring.signer().unwrap();
    let (log, witness) = signers(ORIGIN, 3, "witness.test", 4);
    let mut records = vec![chain::first_key(&signer)];
    for (number, plan) in order.iter().enumerate() {
        let (tenant, plan) = PLANS[*plan];
        let before = records.iter().rfind(|record| (&*record.header.tenant, &*record.header.plan) == (tenant, plan));
        let mut next = chain::next(&signer, tenant, plan, before, &json!({ "n": number }));
        let sealed = number + unsealed < order.len();
        next.log_index = sealed.then(|| 1 + u64::try_from(number).unwrap());
        records.push(next);
    }
    let anchored = u64::try_from(anchored.index(records.len() - unsealed - 1)).unwrap();
    Deployment { keyring, signer, log, witness, records, anchored }
}

impl Deployment {
    fn tree(&self) -> Tree {
        let mut sealed: Vec<&Record> = self.records.iter().filter(|record| record.log_index.is_some()).collect();
        sealed.sort_by_key(|record| record.log_index);
        Tree::of(&sealed.into_iter().map(Record::leaf_hash).collect::<Vec<_>>(), 3)
    }

    fn note(&self, tree: &Tree, size: u64) -> Note {
        let hashes: Vec<Hash> = (0..size).map(|index| leaf(tree, index)).collect();
        let root = Tree::of(&hashes, 5).edge.root();
        let (checkpoint, time) = (Checkpoint::new(ORIGIN, size, root).unwrap(), RECORDED + 60 + size);
        let note = self.log.sign(&checkpoint, time).unwrap();
        let lines = [note.signatures(), &[self.witness.cosign(&checkpoint, time)]].concat();
        Note::new(note.text().to_owned(), lines).unwrap()
    }

    /// All of it, as it is exported or stored.
    fn whole(&self) -> Evident {
        let tree = self.tree();
        let size = tree.edge.size();
        let tiles = (0..8).flat_map(|level| TileId::all(TileKind::Hashes(level), size)).map(|id| {
            let tile = HashTile::new(id, tree.tiles.hashes(id).unwrap().to_vec()).unwrap();
            (id.to_string(), tile.encode())
        });
        let note = |size| self.note(&tree, size).to_string().into_bytes();
        Evident {
            checkpoint: note(size),
            anchors: vec![("anchors/0".into(), note(self.anchored)), ("anchors/1".into(), note(size))],
            tiles: tiles.collect(),
            records: by_place(self.records.iter().map(|record| bundled(record, None)).collect()),
            ..Evident::default()
        }
    }

    /// The same as a bundle of plans, each sealed event with its proof.
    fn plans(&self) -> Evident {
        let (tree, whole) = (self.tree(), self.whole());
        let note = self.note(&tree, tree.edge.size());
        let records = self.records.iter().map(|record| {
            let proof = record.log_index.map(|index| {
                let hashes = tree.inclusion(index, tree.edge.size());
                EventProof { leaf: record.leaf(), index, hashes, note: note.clone() }.to_string()
            });
            bundled(record, proof.as_deref())
        });
        Evident { tiles: BTreeMap::new(), records: by_place(records.collect()), ..whole }
    }

    fn verify(&self, evident: &Evident) -> Report {
        let policy = format!("log {}\nwitness w {}\nquorum w\n", self.log.verifier_key(), self.witness.verifier_key());
        let pinned = Pinned {
            origin: ORIGIN.into(),
            keyring: self.keyring.clone(),
            policy: Policy::parse(policy.as_bytes()).unwrap(),
            now: RECORDED + 100,
            max_age: Some(180),
        };
        pinned.verify(evident)
    }

    /// Rewrites the plan of a record from there on, sealed by its own key.
    fn rewrite(&mut self, from: usize) {
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
}

fn leaf(tree: &Tree, index: u64) -> Hash {
    tree.tiles.hash(sealbus_core::log::merkle::Node { level: 0, index }).unwrap()
}

/// Written and read again.
fn bundled(record: &Record, proof: Option<&str>) -> BundledRecord {
    read_record(write_record(record, proof).as_bytes(), ORIGIN).unwrap()
}

/// Events of a few plans in some order, the last few unsealed, and where the older anchor is.
fn deployments() -> impl Strategy<Value = Deployment> {
    (prop::collection::vec(0..PLANS.len(), 1..14), 0..3_usize, any::<Index>())
        .prop_map(|(order, unsealed, anchored)| deployment(&order, unsealed.min(order.len() - 1), anchored))
}

/// Changes one member of a record's JSON to something else. A line that cannot be read any more is found by that.
fn edited(record: &BundledRecord, member: Index, at: Index) -> Option<BundledRecord> {
    let Content::Record(record, proof) = &record.content else { unreachable!("nothing is malformed yet") };
    let mut json: Value = serde_json::from_str(&write_record(record, proof.as_deref())).unwrap();
    let members = json.as_object_mut().unwrap();
    // Where both are wrong, the tree's word counts and a proof is more than is asked for; v1 is another test's.
    let names: Vec<String> = members.keys().cloned().collect();
    let changed = match &mut members[member.get(&names)] {
        Value::Null => json!(0),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text.is_empty() => json!("00"),
        Value::String(text) => {
            let characters: Vec<char> = text.chars().collect();
            let at = at.index(characters.len());
            let other = match characters[at] {
                '0' => '1',
                character if character.is_ascii_digit() => '0',
                'a' => 'b',
                character if character.is_ascii_lowercase() => 'a',
                '\n' => ' ',
                _ => 'x',
            };
            json!(
                characters
                    .iter()
                    .enumerate()
                    .map(|(index, old)| if index == at { other } else { *old })
                    .collect::<String>()
            )
        }
        other => unreachable!("{other} in a record"),
    };
    members[member.get(&names)] = changed;
    read_record(json.to_string().as_bytes(), ORIGIN).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_untouched_is_clean(deployment in deployments()) {
        let sealed = deployment.records.iter().filter(|record| record.log_index.is_some()).count() as u64;
        for evident in [deployment.whole(), deployment.plans()] {
            let report = deployment.verify(&evident);
            let unanchored = deployment.records.len() as u64 - sealed;
            prop_assert!(findings(&report).iter().all(|(verdict, _)| verdict == "UNANCHORED"), "{:?}", findings(&report));
            prop_assert_eq!(report.findings().count() as u64, unanchored);
            prop_assert_eq!(report.exit_code(), if unanchored == 0 { 0 } else { 4 });
            prop_assert_eq!(report.vouched.map(|vouched| vouched.log_index), Some(sealed - 1));
            prop_assert_eq!((report.events, report.sealed), (deployment.records.len() as u64, sealed));
        }
    }

    #[test]
    fn any_edited_member_is_found(deployment in deployments(), which: Index, member: Index, at: Index, whole: bool) {
        let mut evident = if whole { deployment.whole() } else { deployment.plans() };
        let which = which.index(evident.records.len());
        if let Some(changed) = edited(&evident.records[which], member, at) {
            evident.records[which] = changed;
            evident.records = by_place(evident.records);
            prop_assert_eq!(deployment.verify(&evident).exit_code(), 3, "{}", which);
        }
    }

    #[test]
    fn a_deleted_record_is_found_if_it_was_sealed(deployment in deployments(), which: Index) {
        let mut evident = deployment.whole();
        let BundledRecord { content, .. } = evident.records.remove(which.index(evident.records.len()));
        let Content::Record(record, _) = content else { unreachable!("nothing is malformed") };
        evident.queue = vec![(record.header.tenant, record.header.plan, record.header.seq, record.event_hash)];
        let report = deployment.verify(&evident);
        prop_assert_eq!(report.exit_code(), 3);
        let leaf = record.log_index.map(|index| ("MISSING_LEAF".to_owned(), format!("leaf {index}")));
        prop_assert!(leaf.is_none_or(|leaf| findings(&report).contains(&leaf)));
    }

    #[test]
    fn a_truncated_plan_is_found(deployment in deployments(), which: Index) {
        let mut evident = deployment.whole();
        let last = evident.records[which.index(evident.records.len())].clone();
        let sealed = matches!(&last.content, Content::Record(record, _) if record.log_index.is_some());
        evident.records.retain(|record| (&record.tenant, &record.plan) != (&last.tenant, &last.plan) || record.seq < last.seq);
        prop_assert!(!sealed || deployment.verify(&evident).exit_code() == 3);
    }

    #[test]
    fn swapped_records_are_found(deployment in deployments(), one: Index, other: Index) {
        let mut evident = deployment.whole();
        let (one, other) = (one.index(evident.records.len()), other.index(evident.records.len()));
        prop_assume!(one != other);
        let lines = evident.records.clone();
        // Each takes the other's place, and its name with it.
        for (to, from) in [(one, &lines[other]), (other, &lines[one])] {
            let Content::Record(record, _) = &from.content else { unreachable!("nothing is malformed") };
            let mut moved = record.as_ref().clone();
            (moved.header.tenant, moved.header.plan) = (lines[to].tenant.clone(), lines[to].plan.clone());
            moved.header.seq = lines[to].seq;
            evident.records[to] = bundled(&moved, None);
        }
        prop_assert_eq!(deployment.verify(&evident).exit_code(), 3);
    }

    #[test]
    fn a_second_history_is_found(deployment in deployments(), which: Index, resigned: bool, older: bool) {
        let mut fork = deployment.clone();
        let from = 1 + which.index(fork.records.len() - 1);
        prop_assume!(fork.records[from].log_index.is_some());
        fork.rewrite(from);
        let (mine, theirs) = (deployment.whole(), fork.whole());
        // Who holds every key of the deployment writes another history, and signs its tree too. The anchors are elsewhere.
        let mut evident = Evident { records: theirs.records.clone(), ..mine.clone() };
        if resigned {
            evident = Evident { anchors: mine.anchors, ..theirs };
        }
        if older {
            evident.anchors.swap(0, 1);
        }
        let report = deployment.verify(&evident);
        prop_assert_eq!(report.exit_code(), 3);
        let expected = if resigned { "INCONSISTENT" } else { "LEAF_MISMATCH" };
        prop_assert!(findings(&report).iter().any(|(verdict, _)| verdict == expected), "{:?}", findings(&report));
        prop_assert_eq!(report.vouched.is_none(), resigned);
    }

    #[test]
    fn two_anchored_histories_are_found(deployment in deployments(), which: Index) {
        let mut fork = deployment.clone();
        let from = 1 + which.index(fork.records.len() - 1);
        prop_assume!(fork.records[from].log_index.is_some());
        fork.rewrite(from);
        let mut evident = deployment.whole();
        evident.anchors.push(("anchors/2".into(), fork.whole().anchors.remove(1).1));
        let report = deployment.verify(&evident);
        let size = format!("size {}", fork.tree().edge.size());
        prop_assert_eq!(findings(&report)[0].clone(), ("SPLIT_VIEW".into(), size));
        prop_assert_eq!((report.exit_code(), report.vouched), (3, None));
    }

    #[test]
    fn a_rolled_back_log_is_found(deployment in deployments()) {
        let mut before = deployment.clone();
        before.records.retain(|record| record.log_index.is_some_and(|index| index < deployment.anchored));
        prop_assume!(deployment.anchored > 0);
        let evident = Evident { anchors: deployment.whole().anchors, ..before.whole_without_anchors() };
        let size = format!("size {}", deployment.tree().edge.size());
        prop_assert_eq!(findings(&deployment.verify(&evident)), [("INCONSISTENT".to_owned(), size)]);
    }

    #[test]
    fn a_wrong_tile_is_found(deployment in deployments(), which: Index, byte: Index, bits in 1..=255_u8, drop: bool) {
        let mut evident = deployment.whole();
        let path = which.get(&evident.tiles.keys().cloned().collect::<Vec<_>>()).clone();
        let mut tile = evident.tiles.remove(&path).unwrap();
        if !drop {
            let at = byte.index(tile.len());
            tile[at] ^= bits;
            evident.tiles.insert(path.clone(), tile);
        }
        // Without any tile it is a bundle of plans, whose events have to prove themselves.
        let expected = if evident.tiles.is_empty() { "PROOF" } else { "TILE" };
        let found = findings(&deployment.verify(&evident));
        prop_assert!(found.iter().any(|(verdict, _)| verdict == expected), "{found:?}");
    }

    #[test]
    fn a_changed_note_or_a_dropped_anchor_is_found(deployment in deployments(), which in 0..3_usize, byte: Index, drop: bool) {
        let mut evident = deployment.whole();
        if drop && which > 0 {
            // The newest one: what is behind the older one is covered by nothing.
            evident.anchors.truncate(1);
            let covered = deployment.records.iter().filter(|record| record.log_index.is_some_and(|index| index < deployment.anchored));
            let expected = deployment.records.len() - covered.count();
            let report = deployment.verify(&evident);
            prop_assert_eq!(report.findings().count(), expected);
            prop_assert_eq!(report.exit_code(), 4);
            return Ok(());
        }
        let note = if which == 2 { &mut evident.checkpoint } else { &mut evident.anchors[which].1 };
        let text = note.windows(2).position(|bytes| bytes == b"\n\n").unwrap();
        note[byte.index(text)] ^= 1;
        let place = if which == 2 { "checkpoint".to_owned() } else { format!("anchors/{which}") };
        prop_assert_eq!(findings(&deployment.verify(&evident))[0].clone(), ("CHECKPOINT".into(), place));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written(deployment in deployments(), which: Index) {
        let record = which.get(&deployment.records);
        let read = bundled(record, Some("p\n\"roof\""));
        prop_assert_eq!((&read.tenant, &read.plan, read.seq), (&record.header.tenant, &record.header.plan, record.header.seq));
        let kept = Record { request_mac: Vec::new(), ..record.clone() };
        prop_assert_eq!(read.content, Content::Record(Box::new(kept), Some("p\n\"roof\"".into())));
    }
}

impl Deployment {
    /// Without an anchor of its own.
    fn whole_without_anchors(&self) -> Evident {
        let of_all = Self { anchored: 0, ..self.clone() };
        Evident { anchors: Vec::new(), ..of_all.whole() }
    }
}
