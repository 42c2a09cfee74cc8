//! Tiles: their paths and their content.

use proptest::prelude::*;
use sealbus_core::hash::Hash;
use sealbus_core::log::merkle::Node;
use sealbus_core::log::tile::{
    EntryBundleError, HashTile, TileError, TileId, TileKind, Tiles, encode_entry_bundle, parse_entry_bundle,
};

use crate::common::log::{Tree, leaf_hashes};

fn id(path: &str) -> TileId {
    path.parse().unwrap()
}

fn kind() -> impl Strategy<Value = TileKind> {
    prop_oneof![Just(TileKind::Entries), (0..64_u8).prop_map(TileKind::Hashes)]
}

#[test]
fn a_tile_has_one_path() {
    for path in ["tile/0/000", "tile/63/x018/x446/x744/x073/x709/x551/615.p/255", "tile/entries/x001/000.p/1"] {
        assert_eq!(id(path).to_string(), path);
    }
    for other in [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0//000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/a/000",
        "tile/Entries/000",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/+00",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x01/000",
        "tile/0/X001/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/1/2",
        "tile/0/x001.p/1/000",
        "tile/0/٠٠٠",
    ] {
        assert!(other.parse::<TileId>().is_err(), "{other}");
    }
    assert_eq!(TileId::new(TileKind::Hashes(64), 0, 1), None);
    assert_eq!((TileId::new(TileKind::Entries, 0, 0), TileId::new(TileKind::Entries, 0, 257)), (None, None));
}

#[test]
fn seventy_thousand_leaves_have_the_tiles_of_the_specification() {
    let tiles = |kind| TileId::all(kind, 70_000).collect::<Vec<_>>();
    let level = |level| tiles(TileKind::Hashes(level));
    assert_eq!((level(0).len(), level(0)[272], level(0)[273]), (274, id("tile/0/272"), id("tile/0/273.p/112")));
    assert_eq!(level(1), [id("tile/1/000"), id("tile/1/001.p/17")]);
    assert_eq!((level(2), level(3)), (vec![id("tile/2/000.p/1")], vec![]));
    assert_eq!((tiles(TileKind::Entries).len(), tiles(TileKind::Entries)[273]), (274, id("tile/entries/273.p/112")));
    assert_eq!(TileId::all(TileKind::Hashes(1), 256).collect::<Vec<_>>(), [id("tile/1/000.p/1")]);
    assert_eq!(TileId::all(TileKind::Hashes(0), 0).count(), 0);
    let partial: Vec<_> = TileId::partial(70_000).map(|id| id.to_string()).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);

    assert!(id("tile/0/273.p/112").is_within(70_000) && id("tile/0/273.p/3").is_within(70_000));
    assert!(!id("tile/0/273.p/113").is_within(70_000) && !id("tile/0/273").is_within(70_000));
    assert!(!id("tile/0/274.p/1").is_within(70_000) && !id("tile/2/000").is_within(70_000));
}

proptest! {
    #[test]
    fn paths_round_trip(kind in kind(), n in any::<u64>(), shift in 0..64, width in 1..=256_u16) {
        let tile = TileId::new(kind, n >> shift, width).unwrap();
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
    }

    #[test]
    fn a_parsed_path_is_written_the_same(path in r"tile/(entries|[0-9]{1,2})(/x?[0-9]{3}){1,4}(\.p/[0-9]{1,3})?") {
        if let Ok(tile) = path.parse::<TileId>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    /// The tile that `TileId::holding` returns contains the node.
    #[test]
    fn each_node_is_in_the_tile_that_holds_it(size in 0..700_u64, level in 0..12_u8, index in 0..700_u64) {
        let node = Node { level, index };
        let tree = Tree::of(&leaf_hashes(usize::try_from(size).unwrap()), 64);
        let whole = index < size >> level;
        prop_assert_eq!(tree.tiles.hash(node).is_some(), whole);
        let holding = TileId::holding(node, size);
        prop_assert_eq!(holding.is_some(), whole);
        if let Some(id) = holding {
            let tile = HashTile::new(id, tree.tiles.hashes(id).unwrap().to_vec()).unwrap();
            prop_assert_eq!(Tiles::from_iter([tile]).hash(node), tree.tiles.hash(node));
        }
    }

    #[test]
    fn no_size_or_node_causes_a_panic(size in any::<u64>(), level in any::<u8>(), index in any::<u64>(), kind in kind()) {
        let node = Node { level, index };
        prop_assert_eq!(TileId::holding(node, size).is_some(), size.checked_shr(level.into()).is_some_and(|nodes| index < nodes));
        prop_assert_eq!(Tiles::default().hash(node), None);
        let tile = TileId::in_tree(kind, index, size);
        prop_assert!(tile.is_none_or(|id| id.is_within(size)));
        prop_assert_eq!(TileId::all(kind, size).next().is_some(), TileId::in_tree(kind, 0, size).is_some());
        prop_assert!(TileId::partial(size).count() <= 8);
    }

    #[test]
    fn hash_tiles_round_trip(hashes in prop::collection::vec(any::<[u8; 32]>(), 1..=256), extra in 1..64_usize) {
        let width = u16::try_from(hashes.len()).unwrap();
        let id = TileId::new(TileKind::Hashes(0), 7, width).unwrap();
        let tile = HashTile::new(id, hashes.into_iter().map(Hash).collect()).unwrap();
        let bytes = tile.encode();
        prop_assert_eq!(HashTile::parse(id, &bytes), Ok(tile));
        prop_assert_eq!(HashTile::parse(id, &bytes[..bytes.len() - extra.min(bytes.len())]), Err(TileError));
        prop_assert_eq!(HashTile::parse(id, &[&bytes, &vec![0; extra][..]].concat()), Err(TileError));
    }

    #[test]
    fn entry_bundles_round_trip(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..=256), cut in 1..9_usize) {
        let id = TileId::new(TileKind::Entries, 7, u16::try_from(leaves.len()).unwrap()).unwrap();
        let bundle = encode_entry_bundle(&leaves).unwrap();
        prop_assert_eq!(parse_entry_bundle(id, &bundle).unwrap(), leaves);
        prop_assert!(parse_entry_bundle(id, &bundle[..bundle.len() - cut.min(bundle.len())]).is_err());
        prop_assert!(parse_entry_bundle(id, &[&bundle, &vec![0; cut][..]].concat()).is_err());
    }
}

#[test]
fn a_node_beyond_the_last_has_no_tile() {
    for (size, level) in (0..600_u64).flat_map(|size| (0..10_u8).map(move |level| (size, level))) {
        let after = size >> level;
        assert_eq!(TileId::holding(Node { level, index: after }, size), None, "{level} of {size}");
        assert_eq!(after > 0, TileId::holding(Node { level, index: after.wrapping_sub(1) }, size).is_some());
    }
}

#[test]
fn malformed_tiles_are_refused() {
    let (tile, bundle) = (id("tile/0/000.p/1"), id("tile/entries/000.p/1"));
    assert_eq!(HashTile::parse(bundle, &[0; 32]), Err(TileError));
    assert_eq!(parse_entry_bundle(tile, &[0, 0]), Err(EntryBundleError::Kind));
    assert_eq!(parse_entry_bundle(bundle, &[]), Err(EntryBundleError::Width));
    assert_eq!(parse_entry_bundle(bundle, &[0]), Err(EntryBundleError::Cut));
    assert_eq!(parse_entry_bundle(bundle, &[0, 1]), Err(EntryBundleError::Cut));
    assert_eq!(parse_entry_bundle(bundle, &[0, 0, 0, 0]), Err(EntryBundleError::Width));
    assert_eq!(parse_entry_bundle(bundle, &[0, 0]), Ok(vec![&[][..]]));

    assert_eq!(encode_entry_bundle(&[vec![0; 65_536]]), Err(EntryBundleError::Leaf));
    assert_eq!(encode_entry_bundle(&[vec![0; 65_535]]).unwrap().len(), 65_537);
    assert_eq!(encode_entry_bundle(&vec![[0; 1]; 257]), Err(EntryBundleError::Width));
    assert_eq!(encode_entry_bundle(&[[0; 1]; 0]), Err(EntryBundleError::Width));
}

#[test]
fn the_wider_of_two_tiles_is_kept() {
    let tile = |width: u16, byte| {
        let id = TileId::new(TileKind::Hashes(0), 0, width).unwrap();
        HashTile::new(id, vec![Hash([byte; 32]); width.into()]).unwrap()
    };
    for order in [[tile(1, 1), tile(2, 2)], [tile(2, 2), tile(1, 1)]] {
        let tiles: Tiles = order.into_iter().collect();
        assert_eq!(tiles.hash(Node { level: 0, index: 0 }), Some(Hash([2; 32])));
        assert_eq!(tiles.hashes(id("tile/0/000.p/1")).unwrap().len(), 1);
        assert_eq!(tiles.hashes(id("tile/0/000.p/3")), None);
    }
}
