//! Properties of trees and proofs, in comparison with a second implementation, the crate `ct-merkle`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::hash::Hash;
use sealbus_core::log::MAX_SIZE;
use sealbus_core::log::merkle::{self, Node, ProofError, ProofNodes, RightEdge, TreeFull};
use sealbus_core::log::tile::{EdgeError, EdgeTiles, HashTile, TileId, TileKind, Tiles};
use sha2::Sha256;

use crate::common::log::{Tree, leaf_hashes, tiles_of};

type Theirs = MemoryBackedTree<Sha256, String>;

fn leaf(index: usize) -> String {
    format!("leaf {index}")
}

fn theirs(size: usize) -> Theirs {
    let mut tree = Theirs::new();
    (0..size).for_each(|index| tree.push(leaf(index)));
    tree
}

fn root(of: &RootHash<Sha256>) -> Hash {
    Hash((*of.as_bytes()).into())
}

fn their_root(size: usize, root: Hash) -> RootHash<Sha256> {
    RootHash::new(root.0.into(), size as u64)
}

fn their_inclusion(tree: &Theirs, index: usize) -> Vec<u8> {
    tree.prove_inclusion(index).as_bytes().to_vec()
}

fn their_consistency(tree: &Theirs, old: usize, size: usize) -> Vec<u8> {
    tree.prove_consistency(size - old).as_bytes().to_vec()
}

fn inclusion(tree: &Tree, index: usize, size: usize) -> Vec<Hash> {
    tree.inclusion(index as u64, size as u64)
}

fn consistency(tree: &Tree, old: usize, size: usize) -> Vec<Hash> {
    tree.consistency(old as u64, size as u64)
}

fn concat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// A change of a proof. Both implementations have to agree on whether the changed proof is valid.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Flip(Index, Index),
    Drop(Index),
    Add(Index, [u8; 32]),
    Swap(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Nothing),
        (any::<Index>(), any::<Index>()).prop_map(|(index, bit)| Change::Flip(index, bit)),
        any::<Index>().prop_map(Change::Drop),
        (any::<Index>(), any::<[u8; 32]>()).prop_map(|(index, hash)| Change::Add(index, hash)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

fn changed(mut proof: Vec<Hash>, change: &Change) -> Vec<Hash> {
    let length = proof.len();
    match change {
        Change::Add(index, hash) => proof.insert(index.index(length + 1), Hash(*hash)),
        Change::Flip(index, bit) if length > 0 => {
            let bit = bit.index(256);
            proof[index.index(length)].0[bit / 8] ^= 1 << (bit % 8);
        }
        Change::Drop(index) if length > 0 => drop(proof.remove(index.index(length))),
        Change::Swap(one, other) if length > 0 => proof.swap(one.index(length), other.index(length)),
        Change::Nothing | Change::Flip(..) | Change::Drop(_) | Change::Swap(..) => {}
    }
    proof
}

/// Generates an old size and a size that is not smaller.
fn sizes() -> impl Strategy<Value = (usize, usize)> {
    let size = prop_oneof![0..40_usize, 250..270_usize, 500..530_usize];
    size.prop_flat_map(|size| (0..=size, Just(size)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn trees_and_proofs_match_ct_merkle((old, size) in sizes(), batch in 1..300_usize) {
        let (ours, theirs) = (Tree::of(&leaf_hashes(size), batch), theirs(size));
        prop_assert_eq!(ours.edge.root(), root(&theirs.root()));
        prop_assert_eq!(ours.tiles.root(old as u64), Some(Tree::of(&leaf_hashes(old), batch).edge.root()));
        if old < size {
            let proof = inclusion(&ours, old, size);
            prop_assert_eq!(concat(&proof), their_inclusion(&theirs, old));
            prop_assert_eq!(consistency(&ours, 0, size), vec![]);
            let hash = merkle::leaf_hash(leaf(old).as_bytes());
            prop_assert_eq!(merkle::verify_inclusion(&hash, old as u64, size as u64, &proof, &ours.edge.root()), Ok(()));
        }
        if old > 0 {
            let proof = consistency(&ours, old, size);
            prop_assert_eq!(concat(&proof), their_consistency(&theirs, old, size));
        }
    }

    /// Proofs of an older tree are made from tiles that have grown since.
    #[test]
    fn proofs_of_older_trees_match_ct_merkle((size, now) in sizes(), index in any::<Index>()) {
        prop_assume!(size > 0);
        let (ours, theirs) = (Tree::of(&leaf_hashes(now), 100), theirs(size));
        let index = index.index(size);
        prop_assert_eq!(concat(&inclusion(&ours, index, size)), their_inclusion(&theirs, index));
    }

    #[test]
    fn inclusion_is_verified_like_ct_merkle(
        (index, size) in sizes(),
        claimed in sizes(),
        honest in any::<bool>(),
        change in change(),
    ) {
        prop_assume!(index < size);
        let tree = Tree::of(&leaf_hashes(size), 100);
        let proof = changed(inclusion(&tree, index, size), &change);
        let (claimed_index, claimed_size) = if honest { (index, size) } else { claimed };
        let (hash, root) = (merkle::leaf_hash(leaf(index).as_bytes()), tree.edge.root());
        let ours = merkle::verify_inclusion(&hash, claimed_index as u64, claimed_size as u64, &proof, &root);
        let their_proof = InclusionProof::try_from_bytes(concat(&proof)).unwrap();
        let theirs = their_root(claimed_size, root).verify_inclusion(&leaf(index), claimed_index as u64, &their_proof);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    #[test]
    fn consistency_is_verified_like_ct_merkle(
        (old, size) in sizes(),
        claimed in sizes(),
        honest in any::<bool>(),
        change in change(),
    ) {
        prop_assume!(old > 0);
        let leaves = leaf_hashes(size);
        let (older, tree) = (Tree::of(&leaves[..old], 100).edge.root(), Tree::of(&leaves, 100));
        let proof = changed(consistency(&tree, old, size), &change);
        let (from, to) = if honest { (old, size) } else { claimed };
        prop_assume!(from > 0);
        let ours = merkle::verify_consistency(from as u64, to as u64, &proof, &older, &tree.edge.root());
        let their_proof = ConsistencyProof::try_from_bytes(concat(&proof)).unwrap();
        let theirs = their_root(to, tree.edge.root()).verify_consistency(&their_root(from, older), &their_proof);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    /// No size causes a panic, and the length of a valid proof depends on the sizes only.
    #[test]
    fn the_length_of_a_proof_follows_from_the_sizes(one in sizes_of_any(), other in sizes_of_any(), hashes in 0..70_usize) {
        let (proof, hash) = (vec![Hash([7; 32]); hashes], Hash([9; 32]));
        let wrong = |length: usize| match length.cmp(&hashes) {
            std::cmp::Ordering::Less => ProofError::Long,
            std::cmp::Ordering::Equal => ProofError::Root,
            std::cmp::Ordering::Greater => ProofError::Short,
        };
        let length = |nodes: Option<ProofNodes>| nodes.map(|nodes| nodes.prove(|_| Some(hash)).unwrap().len());
        let inclusion = merkle::verify_inclusion(&hash, one, other, &proof, &hash);
        let expected = length(ProofNodes::inclusion(one, other)).map_or(ProofError::Index, wrong);
        // The root of a tree with one leaf is the leaf hash, so its proof is empty.
        prop_assert_eq!(inclusion.err(), (other != 1 || one != 0 || hashes > 0).then_some(expected));

        let consistency = merkle::verify_consistency(one, other, &proof, &hash, &hash);
        let expected = match length(ProofNodes::consistency(one, other)) {
            None => Some(ProofError::Sizes),
            Some(_) if one == 0 => Some(ProofError::OldRoot),
            Some(_) if one == other => (hashes > 0).then_some(ProofError::Long),
            Some(length) if length == hashes => Some(ProofError::OldRoot),
            Some(length) => Some(wrong(length)),
        };
        // If the old size is a power of two, the proof may not depend on the old root.
        let known = one.is_power_of_two() && consistency == Err(ProofError::Root);
        prop_assert!(consistency.err() == expected || known, "{:?} {:?}", consistency, expected);
    }

    /// Appending to the edge of a tree of any size gives the same result from its nodes and from its tiles.
    #[test]
    fn trees_of_any_size_can_be_appended_to(size in sizes_to_grow_from(), more in 0..600_usize, seed in any::<u64>()) {
        let hash = |id: TileId, index: u16| Hash::of(format!("{seed} {id} {index}").as_bytes());
        let tiles: Tiles = TileId::partial(size)
            .map(|id| HashTile::new(id, (0..id.width()).map(|index| hash(id, index)).collect()).unwrap())
            .collect();
        let mut of_tiles = EdgeTiles::new(size, &tiles).unwrap();
        let nodes: Vec<_> = RightEdge::nodes(size).map(|node| tiles.hash(node).unwrap()).collect();
        let mut of_nodes = RightEdge::new(size, nodes).unwrap();
        prop_assert_eq!(of_tiles.root(), of_nodes.root());

        let leaves = leaf_hashes(more);
        let (before, mut full) = (of_tiles.clone(), Vec::new());
        let grown = of_tiles.append(&leaves);
        if more as u64 > MAX_SIZE - size {
            prop_assert_eq!(grown, Err(TreeFull));
            prop_assert_eq!(of_tiles, before);
            return Ok(());
        }
        for leaf in leaves {
            of_nodes.append(leaf, |node, hash| full.push((node, hash))).unwrap();
        }
        prop_assert_eq!((of_tiles.size(), of_tiles.root()), (of_nodes.size(), of_nodes.root()));

        // The returned tiles are exactly those that are new or wider, and contain all completed nodes.
        let grown = grown.unwrap();
        prop_assert!(grown.iter().all(|tile| tile.id().is_within(size + more as u64) && !tile.id().is_within(size)));
        let all: Tiles = grown.into_iter().collect();
        for (node, hash) in full.into_iter().filter(|(node, _)| node.level % 8 == 0) {
            prop_assert_eq!(all.hash(node), Some(hash));
        }
        let again = EdgeTiles::new(of_tiles.size(), &TileId::partial(of_tiles.size()).map(|id| {
            let hashes = all.hashes(id).or(tiles.hashes(id)).unwrap().to_vec();
            HashTile::new(id, hashes).unwrap()
        }).collect());
        prop_assert_eq!(again, Ok(of_tiles));
    }
}

/// Generates any size, often one next to a power of two.
fn sizes_of_any() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..10_u64,
        (0..64_u32, -2..=2_i64).prop_map(|(bit, by)| (1_u64 << bit).wrapping_add_signed(by)),
    ]
}

/// Generates any size of a log, often one just below a power of two, where tiles become full.
fn sizes_to_grow_from() -> impl Strategy<Value = u64> {
    let below = (0..54_u32, 0..300_u64).prop_map(|(bit, by)| (1_u64 << bit).saturating_sub(by).min(MAX_SIZE));
    prop_oneof![0..=MAX_SIZE, below]
}

#[test]
fn a_tree_of_three_tile_levels_matches_ct_merkle() {
    let size = 66_000;
    let (ours, theirs) = (Tree::of(&leaf_hashes(size), 999), theirs(size));
    assert_eq!(ours.edge.root(), root(&theirs.root()));
    for index in [0, 1, 255, 256, 65_279, 65_280, 65_535, 65_536, 65_999] {
        assert_eq!(concat(&inclusion(&ours, index, size)), their_inclusion(&theirs, index));
        let old = index + 1;
        assert_eq!(concat(&consistency(&ours, old, size)), their_consistency(&theirs, old, size));
    }
}

#[test]
fn each_completed_node_is_reported_once() {
    let (mut edge, mut reported) = (RightEdge::default(), Vec::new());
    for leaf in leaf_hashes(1000) {
        edge.append(leaf, |node, _| reported.push(node)).unwrap();
    }
    let mut all: Vec<Node> =
        (0..10).flat_map(|level| (0..1000 >> level).map(move |index| Node { level, index })).collect();
    reported.sort();
    all.sort();
    assert_eq!(reported, all);
}

#[test]
fn missing_nodes_and_tiles_are_named() {
    let tree = Tree::of(&leaf_hashes(300), 300);
    let nodes = ProofNodes::inclusion(299, 300).unwrap();
    let ids: Vec<_> = tiles_of(&nodes, 300).iter().map(TileId::to_string).collect();
    assert_eq!(ids, ["tile/0/001.p/44", "tile/1/000.p/1"]);
    assert_eq!((Tiles::default().root(300), Tiles::default().root(0)), (None, Some(merkle::empty_root())));
    let missing = Node { level: 8, index: 0 };
    let proof = nodes.prove(|node| tree.tiles.hash(node).filter(|_| node != missing));
    assert_eq!(proof, Err(merkle::MissingNode(missing)));

    let partial: Vec<_> = TileId::partial(300).collect();
    assert_eq!(partial.iter().map(TileId::to_string).collect::<Vec<_>>(), ["tile/0/001.p/44", "tile/1/000.p/1"]);
    assert_eq!(EdgeTiles::new(300, &Tiles::default()), Err(EdgeError::Missing(partial[0])));
    assert_eq!(EdgeTiles::new(MAX_SIZE + 1, &Tiles::default()), Err(TreeFull.into()));
    for (size, hashes) in [(3, 1), (3, 3), (0, 1), (MAX_SIZE + 1, 1)] {
        assert_eq!(RightEdge::new(size, vec![Hash([0; 32]); hashes]), None, "{size} of {hashes}");
    }
    let mut full = RightEdge::new(MAX_SIZE, vec![Hash([0; 32]); 53]).unwrap();
    assert_eq!(full.append(Hash([0; 32]), |_, _| {}), Err(TreeFull));
    assert_eq!((ProofNodes::inclusion(5, 5), ProofNodes::consistency(6, 5)), (None, None));
    assert_eq!(TileId::in_tree(TileKind::Hashes(8), 0, u64::MAX), None);
}
