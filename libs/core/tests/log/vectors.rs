//! The golden and published vectors of the log: tree, tiles, notes and proofs.

use sealbus_core::event::Leaf;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use sealbus_core::log::merkle::{self, ProofError, RightEdge};
use sealbus_core::log::note::{Note, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_core::log::proof::EventProof;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::log::tile::{HashTile, TileId, TileKind, encode_entry_bundle, parse_entry_bundle};
use serde_json::Value;

use crate::common::log::{Tree, keyring};
use crate::common::{byte_list, bytes, cases, hash, number, text, unbase64, vectors};

fn files() -> Vec<Value> {
    vectors("log.json", "seal/log.json")
}

/// Returns the hashes of the first leaves, each of which is the leaf text of the file and a number.
fn leaf_hashes(file: &Value, count: usize) -> Vec<Hash> {
    (0..count).map(|index| merkle::leaf_hash(format!("{}{index}", text(file, "leaf_text")).as_bytes())).collect()
}

/// Returns the hashes of a proof, or `None` if one does not have 32 bytes, which every parser refuses.
fn proof(case: &Value) -> Option<Vec<Hash>> {
    byte_list(case, "proof").iter().map(|hash| Hash::from_slice(hash)).collect()
}

fn root_of(file: &Value, size: u64) -> Hash {
    let of_size = |case: &&Value| number(case, "size") == size;
    hash(cases(file, "roots").iter().find(of_size).unwrap(), "root")
}

#[test]
fn roots_match_the_vectors() {
    for file in &files() {
        for (index, leaf) in byte_list(file, "leaves").iter().enumerate() {
            assert_eq!(leaf, format!("{}{index}", text(file, "leaf_text")).as_bytes());
            assert_eq!(merkle::leaf_hash(leaf).to_string(), file["leaf_hashes"][index]);
        }
        let leaves = leaf_hashes(file, 70_000);
        for case in cases(file, "roots") {
            let size = usize::try_from(number(case, "size")).unwrap();
            assert_eq!(Tree::of(&leaves[..size], 10_000).edge.root(), hash(case, "root"), "{size}");
        }
    }
}

#[test]
fn proofs_match_the_vectors() {
    for file in &files() {
        let leaves = leaf_hashes(file, 70_000);
        let tree = Tree::of(&leaves, 640);
        let root_of = |size| {
            let edge = RightEdge::nodes(size).map(|node| tree.tiles.hash(node).unwrap());
            RightEdge::new(size, edge.collect()).unwrap().root()
        };
        for case in cases(file, "inclusion") {
            let (index, size) = (number(case, "index"), number(case, "size"));
            let published = proof(case).unwrap();
            assert_eq!(tree.inclusion(index, size), published, "{index} in {size}");
            let leaf = &leaves[usize::try_from(index).unwrap()];
            assert_eq!(merkle::verify_inclusion(leaf, index, size, &published, &root_of(size)), Ok(()));
        }
        for case in cases(file, "consistency") {
            let (old, size) = (number(case, "old"), number(case, "size"));
            let published = proof(case).unwrap();
            assert_eq!(tree.consistency(old, size), published, "{old} to {size}");
            let roots = (root_of(old), root_of(size));
            assert_eq!(merkle::verify_consistency(old, size, &published, &roots.0, &roots.1), Ok(()));
        }
    }
}

#[test]
fn invalid_proofs_are_refused() {
    for file in &files() {
        for case in cases(file, "refused_inclusion") {
            let (leaf, root) = (hash(case, "leaf_hash"), hash(case, "root"));
            let verified = proof(case).map_or(Err(ProofError::Root), |proof| {
                merkle::verify_inclusion(&leaf, number(case, "index"), number(case, "size"), &proof, &root)
            });
            assert!(verified.is_err(), "{}", case["name"]);
        }
        for case in cases(file, "refused_consistency") {
            let (old_root, root) = (hash(case, "old_root"), hash(case, "root"));
            let verified = proof(case).map_or(Err(ProofError::Root), |proof| {
                merkle::verify_consistency(number(case, "old"), number(case, "size"), &proof, &old_root, &root)
            });
            assert!(verified.is_err(), "{}", case["name"]);
        }
    }
}

#[test]
fn tiles_match_the_vectors() {
    for file in &files() {
        let leaves = leaf_hashes(file, 70_000);
        for case in cases(file, "tile_paths") {
            let kind = TileKind::Hashes(number(case, "level").try_into().unwrap());
            let id = TileId::new(kind, number(case, "n"), number(case, "width").try_into().unwrap()).unwrap();
            assert_eq!(id.to_string(), text(case, "path"));
            assert_eq!(text(case, "path").parse(), Ok(id));
        }
        for case in cases(file, "tiles") {
            let size = number(case, "size");
            let tree = Tree::of(&leaves[..usize::try_from(size).unwrap()], 100);
            let id: TileId = text(case, "path").parse().unwrap();
            let kind = TileKind::Hashes(number(case, "level").try_into().unwrap());
            assert_eq!(TileId::in_tree(kind, number(case, "n"), size), Some(id));
            let tile = HashTile::new(id, tree.tiles.hashes(id).unwrap().to_vec()).unwrap();
            assert_eq!(Hash::of(&tile.encode()), hash(case, "sha256"), "{id}");
            if let Some(published) = case["tile"].as_str() {
                assert_eq!(hex::encode(tile.encode()), published, "{id}");
                assert_eq!(HashTile::parse(id, &hex::decode(published).unwrap()), Ok(tile));
            }
        }
    }
}

/// The signers of the log and the witness, and the pinned keys.
struct Signing {
    known: Vec<VerifierKey>,
    log: LogSigner,
    witness: WitnessSigner,
    policy: Policy,
}

fn signing(file: &Value) -> Signing {
    let checkpoint = &file["checkpoint"];
    let keyring = keyring(
        bytes(checkpoint, "log_seed").try_into().unwrap(),
        bytes(checkpoint, "witness_seed").try_into().unwrap(),
    );
    let known = ["log_vkey", "log_time_vkey", "witness_vkey"].map(|name| text(checkpoint, name).parse().unwrap());
    let file = format!("log {}\nwitness w {}\nquorum w\n", known[0], known[2]);
    Signing {
        known: known.to_vec(),
        log: LogSigner::new(&keyring, text(checkpoint, "origin")).unwrap(),
        witness: WitnessSigner::new(&keyring, text(checkpoint, "witness")).unwrap(),
        policy: Policy::parse(file.as_bytes()).unwrap(),
    }
}

/// Returns the note of a checkpoint, signed by the log at `time` and by the witness at `witnessed`.
fn signed(signing: &Signing, checkpoint: &Checkpoint, time: u64, witnessed: u64) -> Note {
    let note = signing.log.sign(checkpoint, time).unwrap();
    let mut signatures = note.signatures().to_vec();
    signatures.push(signing.witness.cosign(checkpoint, witnessed));
    Note::new(note.text().to_owned(), signatures).unwrap()
}

#[test]
fn signed_notes_match_the_vectors() {
    for file in &files() {
        let (signing, checkpoint) = (signing(file), &file["checkpoint"]);
        assert_eq!(signing.policy.keys(), signing.known);
        assert_eq!(signing.log.verifier_key().to_string(), text(checkpoint, "log_vkey"));
        assert_eq!(signing.witness.verifier_key().to_string(), text(checkpoint, "witness_vkey"));
        for key in &signing.known {
            assert_eq!(key.to_string().parse().as_ref(), Ok(key));
        }

        let time = number(checkpoint, "time");
        let size = number(&file["notes"][0], "size");
        let body = Checkpoint::new(text(checkpoint, "origin"), size, root_of(file, size)).unwrap();
        let note = signed(&signing, &body, time, time + 1);
        assert_eq!(note.to_string(), text(&file["notes"][0], "note"));
    }
}

fn open(signing: &Signing, origin: &str, note: &[u8]) -> Result<SignedCheckpoint, CheckpointError> {
    SignedCheckpoint::open(&Note::parse(note)?, origin, &signing.known)
}

#[test]
fn notes_are_verified_or_refused_as_in_the_vectors() {
    for file in &files() {
        let (signing, origin) = (signing(file), text(&file["checkpoint"], "origin"));
        for case in cases(file, "notes") {
            let name = text(case, "name");
            let note = case["note_b64"].as_str().map_or_else(|| text(case, "note").into(), unbase64);
            let opened = open(&signing, origin, &note);
            let Some(signers) = case["signers"].as_array() else {
                assert_eq!(text(case, "refused"), "CHECKPOINT", "{name}");
                assert!(opened.is_err(), "{name}");
                continue;
            };
            let opened = opened.unwrap();
            assert_eq!(opened.checkpoint().size(), number(case, "size"), "{name}");
            assert_eq!(opened.checkpoint().root(), hash(case, "root"), "{name}");
            let lines = Note::parse(&note).unwrap().verify(&signing.known).unwrap();
            let lines = lines.iter().map(|line| (line.key.name(), line.key.signature_type() as u64, line.time));
            let published = signers.iter();
            let published =
                published.map(|line| (line[0].as_str().unwrap(), line[1].as_u64().unwrap(), line[2].as_u64()));
            assert_eq!(lines.collect::<Vec<_>>(), published.collect::<Vec<_>>(), "{name}");
            assert_eq!(Note::parse(&note).unwrap().to_string().as_bytes(), note, "{name}");
        }
    }
}

#[test]
fn entry_bundles_and_event_proofs_match_the_vectors() {
    for file in &files() {
        let (signing, events, origin) = (signing(file), &file["events"], text(&file["checkpoint"], "origin"));
        let leaves = byte_list(events, "leaves");
        for leaf in &leaves {
            assert_eq!(Leaf::decode(leaf).unwrap().encode(), *leaf);
        }

        let bundle: TileId = text(events, "bundle_path").parse().unwrap();
        assert_eq!(TileId::all(TileKind::Entries, 3).collect::<Vec<_>>(), [bundle]);
        assert_eq!(hex::encode(encode_entry_bundle(&leaves).unwrap()), text(events, "bundle"));
        assert_eq!(parse_entry_bundle(bundle, &bytes(events, "bundle")).unwrap(), leaves);

        let hashes: Vec<_> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
        let tree = Tree::of(&hashes, 2);
        let id: TileId = text(events, "tile_path").parse().unwrap();
        assert_eq!(HashTile::parse(id, &bytes(events, "tile")).unwrap().hashes(), tree.tiles.hashes(id).unwrap());
        assert_eq!(tree.edge.root(), hash(events, "root"));

        let time = number(&file["checkpoint"], "time");
        let checkpoint = Checkpoint::new(origin, 3, tree.edge.root()).unwrap();
        let published = open(&signing, origin, text(events, "note").as_bytes()).unwrap();
        let note = signed(&signing, &checkpoint, time, published.cosignatures(u64::MAX).last().unwrap().time);
        assert_eq!(note.to_string(), text(events, "note"));
        let proof = EventProof { leaf: leaves[1].clone(), index: 1, hashes: tree.inclusion(1, 3), note };
        assert_eq!(proof.to_string(), text(events, "proof"));

        let read = EventProof::parse(text(events, "proof").as_bytes()).unwrap();
        assert_eq!(read, proof);
        let opened = read.verify(&leaves[1], &signing.policy, origin).unwrap();
        assert_eq!(opened.checkpoint(), &checkpoint);
        assert!(signing.policy.quorum(&opened, time).reached);
        assert_eq!(read.verify(&leaves[0], &signing.policy, origin).unwrap_err().verdict().as_str(), "LEAF_MISMATCH");
    }
}

#[test]
fn invalid_event_proofs_are_refused() {
    for file in &files() {
        let (signing, origin) = (signing(file), text(&file["checkpoint"], "origin"));
        let leaf = byte_list(&file["events"], "leaves").swap_remove(1);
        for case in cases(file, "refused_proofs") {
            let proof = EventProof::parse(text(case, "proof").as_bytes());
            let refused = proof.and_then(|proof| proof.verify(&leaf, &signing.policy, origin)).unwrap_err();
            assert_eq!(refused.verdict().as_str(), text(case, "refused"), "{}: {refused}", case["name"]);
        }
    }
}
