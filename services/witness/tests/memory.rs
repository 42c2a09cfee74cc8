//! The folder: what a witness remembers over its end, and when it does not start.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use sealbus_core::log::note::SignatureType;
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::KeyKind;
use sealbus_witness::{FolderError, Witness, WitnessError};

use crate::support::{NAME, ORIGIN, OTHER, Place, TIME, fork, key, keyring, log, policy, witness_keys};

#[tokio::test]
async fn what_was_cosigned_is_remembered() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    witness.add_checkpoint(&log().request(0, 7)).unwrap();
    // As a process that is killed: nothing is told to end.
    drop(witness);
    let server = place.serve().await;
    assert_eq!(server.ask(&fork().request(0, 9)).await.body, "7\n");
    assert_eq!(server.ask(&fork().request(7, 9)).await.status, 422);
    assert_eq!(server.ask(&log().request(7, 9)).await.status, 200);
    server.stop().await.unwrap();
}

#[test]
fn a_checkpoint_that_is_sent_again_is_written_once_a_second() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    // Each write is another file by the same name.
    let inode = || fs::metadata(place.file(ORIGIN, "note")).unwrap().ino();
    let first = witness.add_checkpoint(&log().request(0, 7)).unwrap();
    let written = inode();
    for _ in 0..10 {
        assert_eq!(witness.add_checkpoint(&log().request(7, 7)).unwrap(), first);
        assert_eq!(inode(), written);
    }
    place.clock.set(TIME + 1);
    assert_ne!(witness.add_checkpoint(&log().request(7, 7)).unwrap(), first);
    assert_ne!(inode(), written);
}

#[test]
fn what_a_write_left_that_was_cut_off_does_not_count() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    witness.add_checkpoint(&log().request(0, 7)).unwrap();
    drop(witness);
    let stored = fs::read(place.file(ORIGIN, "note")).unwrap();
    fs::write(place.file(ORIGIN, "note.new"), &stored[..40]).unwrap();
    place.open().unwrap().add_checkpoint(&log().request(7, 9)).unwrap();
    assert!(!place.file(ORIGIN, "note.new").exists());
}

#[test]
fn a_folder_has_one_witness() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    assert!(matches!(place.open(), Err(WitnessError::Folder(FolderError::InUse { .. }))));
    assert!(matches!(place.begin(OTHER), Err(WitnessError::Folder(FolderError::InUse { .. }))));
    drop(witness);
    place.open().unwrap();
}

#[test]
fn a_witness_begins_with_a_log_only_when_it_is_told_to() {
    let place = Place::empty();
    let error = place.open().map(drop).unwrap_err();
    assert!(matches!(error, WitnessError::Missing { .. }));
    assert!(error.to_string().contains(&format!("sealbus witness --begin {ORIGIN}")), "{error}");
    place.begin(ORIGIN).unwrap();
    assert!(matches!(place.begin(ORIGIN), Err(WitnessError::Begun { .. })));
    assert!(matches!(place.begin("bus.test/three"), Err(WitnessError::UnknownLog { .. })));

    // A log that is new in the policy, and one whose file was lost, look the same.
    place.open().unwrap().add_checkpoint(&log().request(0, 7)).unwrap();
    let both = || place.open_as(NAME, &witness_keys(), policy(&[ORIGIN, OTHER])).map(drop);
    assert!(matches!(both(), Err(WitnessError::Missing { origin, .. }) if origin == OTHER));
    place.begin(OTHER).unwrap();
    both().unwrap();
    fs::remove_file(place.file(ORIGIN, "note")).unwrap();
    assert!(matches!(both(), Err(WitnessError::Missing { origin, .. }) if origin == ORIGIN));

    assert!(matches!(place.open_as(NAME, &witness_keys(), policy(&[])), Err(WitnessError::NoLog)));
    fs::remove_dir_all(place.path()).unwrap();
    assert!(matches!(place.open(), Err(WitnessError::Folder(FolderError::Io { .. }))));
}

#[test]
fn a_memory_that_was_touched_stops_the_start() {
    let place = Place::begun();
    place.begin(OTHER).unwrap();
    place.open().unwrap().add_checkpoint(&log().request(0, 7)).unwrap();
    let file = place.file(ORIGIN, "note");
    let right = fs::read(&file).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = place.open().map(drop).unwrap_err();
        assert!(matches!(error, WitnessError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    };
    for length in 0..right.len() {
        refused(&right[..length]);
    }
    // The log's own lines are evidence and not memory; the text and the witness's line are.
    let own = right.len()
        - WitnessSigner::new(&witness_keys(), NAME).unwrap().cosign(&log().checkpoint(7), 1).to_string().len();
    let text = log().checkpoint(7).to_string().len();
    for at in (0..text).chain(own..right.len()) {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        refused(&bytes);
    }
    refused(&fs::read(place.file(OTHER, "note")).unwrap());
    refused(log().note(7).to_string().as_bytes());
    fs::write(&file, &right).unwrap();
    place.open().unwrap();
}

#[test]
fn a_memory_is_of_one_witness() {
    let place = Place::begun();
    let open = |name: &str, keys: &[serde_json::Value]| place.open_as(name, &keyring(keys), policy(&[ORIGIN]));
    let (old, new) = (key(KeyKind::Witness, 2, "retired"), key(KeyKind::Witness, 3, "active"));
    let is_damaged = |opened: Result<Witness, WitnessError>| matches!(opened, Err(WitnessError::Damaged { .. }));
    assert!(is_damaged(open("witness.test/other", &[key(KeyKind::Witness, 2, "active")])), "another name");
    assert!(is_damaged(open(NAME, std::slice::from_ref(&new))), "another key");
    assert!(
        is_damaged(open(NAME, &[key(KeyKind::Witness, 2, "revoked"), new.clone()])),
        "a key that is trusted no more"
    );
    assert!(matches!(open(NAME, std::slice::from_ref(&old)), Err(WitnessError::Signer(_))), "no key to sign with");

    // A new key goes on from what was seen under the old one.
    let witness = open(NAME, &[old, new.clone()]).unwrap();
    assert_eq!(witness.verifier_key().signature_type(), SignatureType::Cosignature);
    witness.add_checkpoint(&log().request(0, 7)).unwrap();
    drop(witness);
    open(NAME, &[new]).unwrap().add_checkpoint(&log().request(7, 9)).unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_cosigned_and_ends_the_witness() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.ask(&log().request(0, 7)).await.status, 200);
    let away = place.path().with_extension("away");
    fs::rename(place.path(), &away).unwrap();
    let answer = server.ask(&log().request(7, 9)).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains('—'), "{answer:?}");
    let ended = tokio::time::timeout(support::LONG, server.task).await.expect("it ends by itself").unwrap();
    assert!(matches!(ended, Err(FolderError::Io { .. })), "{ended:?}");

    fs::rename(&away, place.path()).unwrap();
    assert_eq!(place.note().text(), log().checkpoint(7).to_string());
    let server = place.serve().await;
    assert_eq!(server.ask(&fork().request(7, 9)).await.status, 422);
    assert_eq!(server.ask(&log().request(7, 9)).await.status, 200);
    server.stop().await.unwrap();
}
