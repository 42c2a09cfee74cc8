//! Proofs, a log as files and a note: golden vectors, and, where they are present, the proofs of
//! transparency-dev/merkle, a log written by Tessera, and the example note of C2SP.

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
use crate::common::{byte_list, cases, golden, number, published, published_path, text, unbase64, vectors};

/// Returns the files below a published folder by their path in it, or no files if the folder is not present.
fn folder(path: &str) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let (root, mut files) = (published_path(path), BTreeMap::new());
    if root.is_dir() {
        walk(&root, &root, &mut files);
    }
    files
}

/// Returns a hash of a case, or `None` if it does not have 32 bytes, which every parser refuses.
fn hash(text: &Value) -> Option<Hash> {
    Hash::from_slice(&unbase64(text.as_str().unwrap()))
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

/// Runs `verify` on each golden case and on each published case of a kind. `verify` returns `None` if a hash does not
/// have 32 bytes.
fn each_proof(kind: &str, verify: impl Fn(&Value) -> Option<bool>) {
    let file = golden("merkle.json");
    for case in cases(&file, kind) {
        assert_eq!(verify(case) == Some(true), case["wantErr"] == false, "{}", case["desc"]);
    }
    let files = folder(&format!("merkle-rfc6962/testdata/{kind}"));
    for (name, file) in &files {
        let case: Value = serde_json::from_slice(file).unwrap();
        let verified = verify(&case);
        // The equal roots of this case have 12 bytes, which no SHA-256 hash has.
        if name == "additional/sizes-are-equal-one-and-proof-is-empty.json" {
            assert_eq!(verified, None);
        } else {
            assert_eq!(verified == Some(true), case["wantErr"] == false, "{name}");
        }
    }
    assert!(files.is_empty() || files.len() == 98);
}

#[test]
fn inclusion_proofs_verify_as_in_the_vectors() {
    each_proof("inclusion", |case| {
        let (leaf, root, proof) = (hash(&case["leafHash"])?, hash(&case["root"])?, proof(case)?);
        let (index, size) = (number(case, "leafIdx"), number(case, "treeSize"));
        Some(merkle::verify_inclusion(&leaf, index, size, &proof, &root).is_ok())
    });
}

#[test]
fn consistency_proofs_verify_as_in_the_vectors() {
    each_proof("consistency", |case| {
        let (old_root, root, proof) = (hash(&case["root1"])?, hash(&case["root2"])?, proof(case)?);
        let (old, size) = (number(case, "size1"), number(case, "size2"));
        Some(merkle::verify_consistency(old, size, &proof, &old_root, &root).is_ok())
    });
}

#[test]
fn eight_leaves_have_the_roots_of_the_vectors() {
    for file in &vectors("merkle.json", "own/rfc6962_8leaf_roots.json") {
        let leaves: Vec<_> = byte_list(file, "leaf_hex").iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
        for (size, root) in cases(file, "root_hex_by_size_0_to_8").iter().enumerate() {
            assert_eq!(Tree::of(&leaves[..size], 3).edge.root().to_string(), *root, "{size}");
        }
        if let Some(hash) = file["leaf_hash_L123456"].as_str() {
            assert_eq!(merkle::leaf_hash(b"L123456").to_string(), hash);
        }
    }
}

#[test]
fn a_log_is_rebuilt_from_its_entries() {
    let file = golden("tlog.json");
    let encoded = file["files"].as_object().unwrap().iter();
    let files = encoded.map(|(path, data)| (path.clone(), unbase64(data.as_str().unwrap()))).collect();
    check_log(&files, &text(&file, "vkey").parse().unwrap());
    if let Some(key) = published("tlog-tiles-log/log.vkey") {
        let key = str::from_utf8(&key).unwrap().trim_end().parse().unwrap();
        check_log(&folder("tlog-tiles-log/testdata/log"), &key);
    }
}

/// Rebuilds a log of 15 leaves from its entry bundles, and compares checkpoints, tiles and bundles of every size.
fn check_log(files: &BTreeMap<String, Vec<u8>>, key: &VerifierKey) {
    let open = |name: &str| {
        let note = Note::parse(&files[name]).unwrap();
        assert_eq!(note.to_string().as_bytes(), files[name], "{name}");
        let opened = SignedCheckpoint::open(&note, key.name(), std::slice::from_ref(key)).unwrap();
        opened.checkpoint().clone()
    };
    let newest = open("checkpoint");
    assert_eq!(newest.size(), 15);

    let mut leaves: Vec<Vec<u8>> = Vec::new();
    let mut tiles = Tiles::default();
    for size in 0..=15 {
        let checkpoint = open(&format!("checkpoint.{size}"));
        assert_eq!(checkpoint.size(), size);

        // The bundle of each size starts with the entries of the previous one.
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
fn example_notes_verify() {
    let file = golden("tlog.json");
    let example = &file["note"];
    check_note(text(example, "note").as_bytes(), &text(example, "vkey").parse().unwrap(), text(example, "text"));
    if let (Some(note), Some(key)) =
        (published("c2sp/signed-note-example.note"), published("c2sp/signed-note-example.vkey"))
    {
        let key = str::from_utf8(&key).unwrap().trim_end().parse().unwrap();
        check_note(&note, &key, "This is an example message.\n");
    }
}

/// Checks a note with one signature line, and that the line does not verify under another text.
fn check_note(note: &[u8], key: &VerifierKey, expected: &str) {
    let note = Note::parse(note).unwrap();
    assert_eq!(note.text(), expected);
    let verified = note.verify(std::slice::from_ref(key)).unwrap();
    assert_eq!(verified.iter().map(|line| (&line.key, line.time)).collect::<Vec<_>>(), [(key, None)]);

    let forged = Note::new("This is another message.\n".into(), note.signatures().to_vec()).unwrap();
    let refused = forged.verify(std::slice::from_ref(key));
    assert_eq!(refused, Err(NoteError::BadSignature(key.name().into())));
}
