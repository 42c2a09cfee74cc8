//! Notes and tiles of logs with several tile levels, and the trusted times of leaves.

use proptest::prelude::*;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::RightEdge;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::log::tile::{HashTile, TileId, TileKind};
use sealbus_core::verify::{CheckedLog, Notes, TreeCheck};

use crate::common::log::{ORIGIN, Tree, leaf_hashes, signers};

const NOW: u64 = 1_000_000;

struct Keys {
    log: LogSigner,
    witnesses: [WitnessSigner; 2],
    policy: Policy,
}

/// Returns a log and two witnesses. The quorum needs both witnesses.
fn keys() -> Keys {
    let (log, one) = signers(ORIGIN, 1, "w.test/1", 2);
    let other = signers(ORIGIN, 1, "w.test/2", 3).1;
    let [one_key, other_key] = [&one, &other].map(WitnessSigner::verifier_key);
    let policy =
        format!("log {}\nwitness a {one_key}\nwitness b {other_key}\ngroup g all a b\nquorum g", log.verifier_key());
    Keys { policy: Policy::parse(policy.as_bytes()).unwrap(), log, witnesses: [one, other] }
}

impl Keys {
    /// Returns the note of a tree, signed by the log at `time`, and by each of these witnesses at its own time.
    fn note(&self, size: u64, root: Hash, time: u64, witnesses: &[(usize, u64)]) -> Vec<u8> {
        let checkpoint = Checkpoint::new(ORIGIN, size, root).unwrap();
        let note = self.log.sign(&checkpoint, time).unwrap();
        let mut lines = note.signatures().to_vec();
        lines.extend(witnesses.iter().map(|(who, time)| self.witnesses[*who].cosign(&checkpoint, *time)));
        Note::new(note.text().to_owned(), lines).unwrap().to_string().into_bytes()
    }
}

fn root(tree: &Tree, size: u64) -> Hash {
    let hashes = RightEdge::nodes(size).map(|node| tree.tiles.hash(node).unwrap());
    RightEdge::new(size, hashes.collect()).unwrap().root()
}

fn tile(tree: &Tree, id: TileId) -> Vec<u8> {
    HashTile::new(id, tree.tiles.hashes(id).unwrap().to_vec()).unwrap().encode()
}

/// Passes in all requested tiles after `change` was applied. Returns the requested tiles.
fn take_all(
    check: &mut TreeCheck,
    tree: &Tree,
    mut change: impl FnMut(TileId, Vec<u8>) -> Option<Vec<u8>>,
) -> Vec<TileId> {
    let mut wanted = Vec::new();
    while let Some(id) = check.wanted() {
        check.take(change(id, tile(tree, id)).as_deref());
        wanted.push(id);
    }
    wanted
}

/// Returns the verdict and the place of each finding.
fn places(log: &CheckedLog) -> Vec<(String, String)> {
    log.findings().iter().map(|finding| (finding.verdict.to_string(), finding.place.clone())).collect()
}

/// Checks a log whose checkpoint is its newest anchor, with changed tiles. Returns the findings.
fn findings_of(
    keys: &Keys,
    tree: &Tree,
    change: impl FnMut(TileId, Vec<u8>) -> Option<Vec<u8>>,
) -> Vec<(String, String)> {
    let size = tree.edge.size();
    let note = keys.note(size, tree.edge.root(), NOW, &[(0, NOW), (1, NOW)]);
    let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
    notes.checkpoint(&note);
    notes.anchor("anchors/0", &note);
    let mut check = notes.tree();
    take_all(&mut check, tree, change);
    let log = notes.with_tree(check);
    assert_eq!(log.vouched().is_some(), log.findings().is_empty());
    assert_eq!(log.unclaimed().count() as u64, if log.findings().is_empty() { size } else { 0 });
    places(&log)
}

#[test]
fn each_tile_of_three_levels_must_be_present_and_correct() {
    let (keys, tree) = (keys(), Tree::of(&leaf_hashes(70_000), 10_000));
    assert_eq!(findings_of(&keys, &tree, |_, bytes| Some(bytes)), []);
    let found = |tiles: &[&str]| tiles.iter().map(|tile| ("TILE".to_owned(), (*tile).to_owned())).collect::<Vec<_>>();
    let wrong = |path: &str, change: fn(&mut Vec<u8>)| {
        let path = path.to_owned();
        findings_of(&keys, &tree, move |id, mut bytes| {
            if id.to_string() == path {
                change(&mut bytes);
            }
            Some(bytes)
        })
    };
    let flip: fn(&mut Vec<u8>) = |bytes| *bytes.last_mut().unwrap() ^= 1;
    // A wrong leaf of a full tile shows in the tiles above. A wrong leaf of the last tile shows in the root only.
    assert_eq!(wrong("tile/0/000", flip), found(&["tile/1/000", "tile/2/000.p/1"]));
    assert_eq!(wrong("tile/0/260", flip), found(&["tile/1/001.p/17"]));
    assert_eq!(wrong("tile/0/273.p/112", flip), found(&["tile/0/273.p/112"]));
    for path in ["tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
        assert_eq!(wrong(path, flip), found(&[path]));
    }
    for path in ["tile/0/000", "tile/0/273.p/112", "tile/1/001.p/17"] {
        assert_eq!(wrong(path, |bytes| bytes.truncate(bytes.len() - 32)), found(&[path]));
        assert_eq!(wrong(path, |bytes| bytes.push(0)), found(&[path]));
        assert_eq!(wrong(path, Vec::clear), found(&[path]));
        assert_eq!(findings_of(&keys, &tree, |id, bytes| (id.to_string() != path).then_some(bytes)), found(&[path]));
    }
}

#[test]
fn every_tile_is_requested_once() {
    let (keys, tree) = (keys(), Tree::of(&leaf_hashes(70_000), 10_000));
    let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
    notes.checkpoint(&keys.note(70_000, tree.edge.root(), NOW, &[]));
    let wanted = take_all(&mut notes.tree(), &tree, |_, bytes| Some(bytes));
    let all: Vec<_> = (0..8).flat_map(|level| TileId::all(TileKind::Hashes(level), 70_000)).collect();
    assert_eq!(wanted, all);
}

/// A checkpoint can claim any size.
#[test]
fn requests_end_if_all_tiles_are_missing() {
    let keys = keys();
    let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
    notes.checkpoint(&keys.note((1 << 53) - 1, Hash::of(b"?"), NOW, &[]));
    let mut tree = notes.tree();
    let mut requested = 0;
    while tree.wanted().is_some() {
        tree.take(None);
        requested += 1;
    }
    let log = notes.with_tree(tree);
    assert_eq!((requested, log.findings().len(), log.unclaimed().count()), (1000, 1000, 0));
}

#[test]
fn an_empty_log_has_the_empty_root() {
    let keys = keys();
    for (root, found) in [(Hash::of(b""), vec![]), (Hash::of(b"x"), vec![("TILE".to_owned(), "size 0".to_owned())])] {
        let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
        notes.checkpoint(&keys.note(0, root, NOW, &[]));
        let tree = notes.tree();
        assert_eq!(tree.wanted(), None);
        assert_eq!(places(&notes.with_tree(tree)), found);
    }
}

#[test]
fn without_any_note_nothing_is_vouched_for() {
    let keys = keys();
    for max_age in [None, Some(180)] {
        let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, max_age);
        notes.checkpoint(b"");
        let tree = notes.tree();
        let log = notes.with_tree(tree);
        let mut expected = vec![("CHECKPOINT".to_owned(), "checkpoint".to_owned())];
        expected.extend(max_age.map(|_| ("STALE".to_owned(), "anchors".to_owned())));
        assert_eq!((places(&log), log.vouched(), log.size(), log.anchored()), (expected, None, 0, 0));
    }
}

#[test]
fn notes_of_one_checkpoint_count_together() {
    let keys = keys();
    let (size, root) = (9, Hash::of(b"nine"));
    let check = |notes_given: &[Vec<u8>], now: u64| {
        let mut notes = Notes::new(&keys.policy, ORIGIN, now, Some(180));
        notes.checkpoint(&keys.note(size, root, NOW, &[]));
        for (number, note) in notes_given.iter().enumerate() {
            notes.anchor(&format!("anchors/{number}"), note);
        }
        let log = notes.with_proofs();
        (places(&log), log.vouched().and_then(|vouched| vouched.time), log.first_seen(8))
    };
    let found = |verdict: &str| vec![(verdict.to_owned(), "size 9".to_owned())];
    let first = keys.note(size, root, NOW, &[(0, NOW + 1)]);
    let heartbeat = keys.note(size, root, NOW + 60, &[(1, NOW + 61)]);
    assert_eq!(check(std::slice::from_ref(&first), NOW), (found("QUORUM"), None, Some(NOW)));
    // One witness on each of two notes makes two witnesses of one tree.
    let both = (vec![], Some(NOW + 61), Some(NOW));
    assert_eq!(check(&[first.clone(), heartbeat.clone()], NOW), both);
    assert_eq!(check(&[heartbeat.clone(), first.clone()], NOW + 241), both);
    assert_eq!(check(&[first.clone(), heartbeat.clone()], NOW + 242).0, found("STALE"));
    // A line from the future does not count, and does not replace a line that counts.
    let ahead = keys.note(size, root, NOW + 400, &[(1, NOW + 400)]);
    for order in [[first.clone(), heartbeat.clone(), ahead.clone()], [ahead.clone(), heartbeat, first.clone()]] {
        assert_eq!(check(&order, NOW), both);
    }
    assert_eq!(check(&[first, ahead], NOW), (found("QUORUM"), None, Some(NOW)));
}

/// Without tiles it is not known whether a checkpoint continues the older anchors.
#[test]
fn a_checkpoint_without_tiles_vouches_only_as_the_newest_anchor() {
    let keys = keys();
    let witnessed = |size: u64| keys.note(size, Hash::of(&size.to_be_bytes()), NOW, &[(0, NOW), (1, NOW)]);
    let vouched = |anchored: bool| {
        let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
        if anchored {
            notes.anchored_checkpoint(&witnessed(9));
        } else {
            notes.checkpoint(&witnessed(9));
        }
        notes.anchor("anchors/0", &witnessed(5));
        let log = notes.with_proofs();
        assert_eq!(places(&log), []);
        log.vouched().map(|vouched| vouched.log_index)
    };
    assert_eq!((vouched(true), vouched(false)), (Some(8), None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The first trusted time over a leaf is the earliest one on any note that covers it and that the tree continues.
    #[test]
    fn a_leaf_is_first_seen_at_the_earliest_time_of_a_note_over_it(
        size in 1..700_u64,
        anchors in prop::collection::vec((0..1000_u64, 0..500_u64, any::<bool>()), 0..6),
    ) {
        let (keys, tree) = (keys(), Tree::of(&leaf_hashes(size.try_into().unwrap()), 64));
        let mut notes = Notes::new(&keys.policy, ORIGIN, NOW, None);
        notes.checkpoint(&keys.note(size, tree.edge.root(), NOW, &[]));
        let mut seen = vec![(size, NOW)];
        for (number, (anchored, age, of_tree)) in anchors.iter().enumerate() {
            let of_tree = *of_tree && *anchored <= size;
            let root = if of_tree { root(&tree, *anchored) } else { Hash::of(b"another") };
            seen.extend(of_tree.then_some((*anchored, NOW - age)));
            notes.anchor(&format!("anchors/{number}"), &keys.note(*anchored, root, NOW - age, &[]));
        }
        let mut check = notes.tree();
        take_all(&mut check, &tree, |_, bytes| Some(bytes));
        let log = notes.with_tree(check);
        for index in (0..size).step_by(7).chain([size - 1]) {
            let expected = seen.iter().filter(|(size, _)| index < *size).map(|(_, time)| *time).min();
            prop_assert_eq!(log.first_seen(index), expected, "{}", index);
        }
        prop_assert_eq!(log.first_seen(size), None);
        let others = anchors.iter().any(|(anchored, _, of_tree)| !of_tree || *anchored > size);
        prop_assert_eq!(places(&log).iter().any(|(verdict, _)| verdict == "INCONSISTENT"), others);
        prop_assert_eq!(log.unclaimed().collect::<Vec<_>>(), (0..size).collect::<Vec<_>>());
        prop_assert_eq!(log.anchored(), anchors.iter().map(|(anchored, ..)| *anchored).max().unwrap_or(0));
    }
}
