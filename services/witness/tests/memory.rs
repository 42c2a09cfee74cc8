//! The witness's folder: what it remembers across restarts, and when it refuses to start.

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
async fn a_restarted_witness_remembers_what_it_cosigned() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    witness.add_checkpoint(&log().request(0, 7)).unwrap();
    let mode = fs::metadata(place.file(ORIGIN, "note")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600, "others can read what the witness cosigned");
    // Drop the witness without a shutdown, as if the process had been killed.
    drop(witness);
    let server = place.serve().await;
    assert_eq!(server.submit(&fork().request(0, 9)).await.body, "7\n");
    assert_eq!(server.submit(&fork().request(7, 9)).await.status, 422);
    assert_eq!(server.submit(&log().request(7, 9)).await.status, 200);
    server.stop().await.unwrap();
}

#[test]
fn a_repeated_checkpoint_is_written_at_most_once_per_second() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    // Each write creates a new file with the same name.
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
fn the_file_of_an_interrupted_write_is_ignored() {
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
fn a_folder_in_use_is_refused() {
    let place = Place::begun();
    let witness = place.open().unwrap();
    assert!(matches!(place.open(), Err(WitnessError::Folder(FolderError::InUse { .. }))));
    assert!(matches!(place.begin(OTHER), Err(WitnessError::Folder(FolderError::InUse { .. }))));
    drop(witness);
    place.open().unwrap();
}

#[test]
fn a_log_without_memory_is_refused_until_an_operator_begins_with_it() {
    let place = Place::empty();
    let error = place.open().map(drop).unwrap_err();
    assert!(matches!(error, WitnessError::Missing { .. }));
    assert!(error.to_string().contains(&format!("sealbus witness --begin {ORIGIN}")), "{error}");
    place.begin(ORIGIN).unwrap();
    assert!(matches!(place.begin(ORIGIN), Err(WitnessError::AlreadyBegun { .. })));
    assert!(matches!(place.begin("bus.test/three"), Err(WitnessError::UnknownLog { .. })));

    // A log that was added to the policy, and one whose file was lost, are refused in the same way.
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
    let original = fs::read(&file).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = place.open().map(drop).unwrap_err();
        assert!(matches!(error, WitnessError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    };
    for length in 0..original.len() {
        refused(&original[..length]);
    }
    // Flip a bit of each byte of the text and of the witness's signature. The log's signatures are evidence, not
    // memory.
    let witness_line = original.len()
        - WitnessSigner::new(&witness_keys(), NAME).unwrap().cosign(&log().checkpoint(7), 1).to_string().len();
    let text = log().checkpoint(7).to_string().len();
    for index in (0..text).chain(witness_line..original.len()) {
        let mut bytes = original.clone();
        bytes[index] ^= 1;
        refused(&bytes);
    }
    refused(&fs::read(place.file(OTHER, "note")).unwrap());
    refused(log().note(7).to_string().as_bytes());
    fs::write(&file, &original).unwrap();
    place.open().unwrap();
}

#[test]
fn a_memory_of_another_name_or_key_is_refused() {
    let place = Place::begun();
    let open = |name: &str, keys: &[serde_json::Value]| place.open_as(name, &keyring(keys), policy(&[ORIGIN]));
    let (old, new) = (key(KeyKind::Witness, 2, "retired"), key(KeyKind::Witness, 3, "active"));
    let is_damaged = |opened: Result<Witness, WitnessError>| matches!(opened, Err(WitnessError::Damaged { .. }));
    assert!(is_damaged(open("witness.test/other", &[key(KeyKind::Witness, 2, "active")])), "another name");
    assert!(is_damaged(open(NAME, std::slice::from_ref(&new))), "another key");
    assert!(
        is_damaged(open(NAME, &[key(KeyKind::Witness, 2, "revoked"), new.clone()])),
        "the key that signed it was revoked"
    );
    assert!(matches!(open(NAME, std::slice::from_ref(&old)), Err(WitnessError::Signer(_))), "no key to sign with");

    // A witness with a new key keeps the memory that the retired key signed.
    let witness = open(NAME, &[old, new.clone()]).unwrap();
    assert_eq!(witness.verifier_key().signature_type(), SignatureType::Cosignature);
    witness.add_checkpoint(&log().request(0, 7)).unwrap();
    drop(witness);
    open(NAME, &[new]).unwrap().add_checkpoint(&log().request(7, 9)).unwrap();
}

#[tokio::test]
async fn a_witness_that_cannot_write_refuses_and_ends() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.submit(&log().request(0, 7)).await.status, 200);

    // Move the folder away: the next checkpoint is not cosigned, and the witness ends.
    let moved = place.path().with_extension("moved");
    fs::rename(place.path(), &moved).unwrap();
    let answer = server.submit(&log().request(7, 9)).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains('—'), "{answer:?}");
    let ended = tokio::time::timeout(support::LONG, server.task).await.expect("the witness did not end").unwrap();
    assert!(matches!(ended, Err(FolderError::Io { .. })), "{ended:?}");

    // Move the folder back: the next start continues from the last stored checkpoint.
    fs::rename(&moved, place.path()).unwrap();
    assert_eq!(place.note().text(), log().checkpoint(7).to_string());
    let server = place.serve().await;
    assert_eq!(server.submit(&fork().request(7, 9)).await.status, 422);
    assert_eq!(server.submit(&log().request(7, 9)).await.status, 200);
    server.stop().await.unwrap();
}
