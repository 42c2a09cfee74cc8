//! Others' vectors: proofs of transparency-dev/merkle, a log that Tessera wrote, the note of C2SP's specification.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::SignedCheckpoint;
use sealbus_core::log::merkle;
use sealbus_core::log::note::{Note, NoteError, VerifierKey};
use sealbus_core::log::tile::{EdgeTiles, HashTile, TileId, TileKind, Tiles, encode_entry_bundle, parse_entry_bundle};
use serde_json::Value;

use crate::common::log::Tree;
use crate::common::{cases, shared, shared_path, unbase64};

/// Every file below a published folder, by its path there; none where the folder is not here.
fn folder(path: &str) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, at: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let (root, mut files) = (shared_path(path), BTreeMap::new());
    if root.is_dir() {
        walk(&root, &root, &mut files);
    } else {
        println!("SKIPPED: ../shared/vectors/{path} is not here");
    }
    files
}

/// The hash of a case; `None` where it has not 32 bytes, which is refused wherever it is read.
fn hash(text: &Value) -> Option<Hash> {
    Hash::from_slice(&unbase64(text.as_str().unwrap()))
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap_or_else(|| panic!("{name} is a number in {case}"))
}

/// Runs `verify` on each case of a folder; it answers `None` where a hash has not 32 bytes.
fn each_proof(path: &str, verify: impl Fn(&Value) -> Option<bool>) {
    let files = folder(path);
    for (name, file) in &files {
        let case: Value = serde_json::from_slice(file).unwrap();
        let verified = verify(&case);
        // Its equal roots are of 12 bytes, and so they are equal roots to nobody who knows SHA-256.
        if name == "additional/sizes-are-equal-one-and-proof-is-empty.json" {
            assert_eq!(verified, None);
        } else {
            assert_eq!(verified == Some(true), case["wantErr"] == false, "{name}");
        }
    }
    assert!(files.is_empty() || files.len() == 98);
}

#[test]
fn inclusion_proofs_hold_or_not() {
    each_proof("merkle-rfc6962/testdata/inclusion", |case| {
        let (leaf, root, proof) = (hash(&case["leafHash"])?, hash(&case["root"])?, proof(case)?);
        let (index, size) = (number(case, "leafIdx"), number(case, "treeSize"));
        Some(merkle::verify_inclusion(&leaf, index, size, &proof, &root).is_ok())
    });
}

#[test]
fn consistency_proofs_hold_or_not() {
    each_proof("merkle-rfc6962/testdata/consistency", |case| {
        let (old_root, root, proof) = (hash(&case["root1"])?, hash(&case["root2"])?, proof(case)?);
        let (old, size) = (number(case, "size1"), number(case, "size2"));
        Some(merkle::verify_consistency(old, size, &proof, &old_root, &root).is_ok())
    });
}

#[test]
fn eight_leaves_have_the_published_roots() {
    let Some(file) = shared("own/rfc6962_8leaf_roots.json") else { return };
    let file: Value = serde_json::from_slice(&file).unwrap();
    let hash = |hex: &Value| hex.as_str().unwrap().parse::<Hash>().unwrap();
    let leaf_hash = |leaf: &Value| merkle::leaf_hash(&hex::decode(leaf.as_str().unwrap()).unwrap());
    let leaves: Vec<_> = cases(&file, "leaf_hex").iter().map(leaf_hash).collect();
    for (size, root) in cases(&file, "root_hex_by_size_0_to_8").iter().enumerate() {
        assert_eq!(Tree::of(&leaves[..size], 3).edge.root(), hash(root), "{size}");
    }
    assert_eq!(merkle::leaf_hash(b"L123456"), hash(&file["leaf_hash_L123456"]));
}

#[test]
fn a_log_of_tessera_is_built_anew_from_its_entries() {
    let files = folder("tlog-tiles-log/testdata/log");
    let Some(key) = shared("tlog-tiles-log/log.vkey") else { return };
    let key: VerifierKey = str::from_utf8(&key).unwrap().trim_end().parse().unwrap();
    let open = |name: &str| {
        let note = Note::parse(&files[name]).unwrap();
        assert_eq!(note.to_string().as_bytes(), files[name], "{name}");
        let opened = SignedCheckpoint::open(&note, key.name(), std::slice::from_ref(&key)).unwrap();
        opened.checkpoint().clone()
    };
    let newest = open("checkpoint");
    assert_eq!(newest.size(), 15);

    let mut leaves: Vec<Vec<u8>> = Vec::new();
    let mut tiles = Tiles::default();
    for size in 0..=15 {
        let checkpoint = open(&format!("checkpoint.{size}"));
        assert_eq!(checkpoint.size(), size);

        // The bundle of each size repeats the entries of the one before.
        let mut bundles = TileId::all(TileKind::Entries, size);
        if let Some(id) = bundles.next() {
            let bundle = &files[&id.to_string()];
            let entries = parse_entry_bundle(id, bundle).unwrap();
            assert_eq!(entries[..leaves.len()], leaves);
            leaves = entries.into_iter().map(<[u8]>::to_vec).collect();
            assert_eq!(&encode_entry_bundle(&leaves).unwrap(), bundle);
        }
        assert_eq!((bundles.next(), leaves.len() as u64), (None, size));

        let mut edge = EdgeTiles::new(size.saturating_sub(1), &tiles).unwrap();
        let new: Vec<_> = leaves.last().map(|leaf| merkle::leaf_hash(leaf)).into_iter().collect();
        for tile in edge.append(&new).unwrap() {
            assert_eq!(tile.encode(), files[&tile.id().to_string()]);
            assert_eq!(HashTile::parse(tile.id(), &files[&tile.id().to_string()]).as_ref(), Ok(&tile));
            tiles.insert(tile);
        }
        assert_eq!((edge.size(), edge.root()), (size, checkpoint.root()));
    }
    let read = files.keys().filter(|name| name.starts_with("tile/")).count();
    assert_eq!(read, 30, "15 tiles and 15 bundles");
}

#[test]
fn the_specifications_note_is_verified() {
    let (Some(note), Some(key)) = (shared("c2sp/signed-note-example.note"), shared("c2sp/signed-note-example.vkey"))
    else {
        return;
    };
    let key: VerifierKey = str::from_utf8(&key).unwrap().trim_end().parse().unwrap();
    let note = Note::parse(&note).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    let verified = note.verify(std::slice::from_ref(&key)).unwrap();
    assert_eq!(verified.iter().map(|line| (&line.key, line.time)).collect::<Vec<_>>(), [(&key, None)]);

    let forged = Note::new("This is another message.\n".into(), note.signatures().to_vec()).unwrap();
    assert_eq!(forged.verify(&[key]), Err(NoteError::BadSignature { name: "example.com/foo".into() }));
}
