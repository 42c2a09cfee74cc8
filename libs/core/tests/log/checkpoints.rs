//! Checkpoints: their text, their signatures, and the cosignatures that count.

use proptest::prelude::*;
use sealbus_core::hash::Hash;
use sealbus_core::log::MAX_SIZE;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use sealbus_core::log::note::{Note, SignatureType, VerifierKey};
use sealbus_core::log::signer::{LogSigner, SignerError, WitnessSigner};
use sealbus_core::seal::{KeyKind, Keyring, KeyringError, PublicKey};
use serde_json::json;

use crate::common;
use crate::common::log::{ORIGIN, checkpoint, keyring, note, seed, signers};

#[test]
fn a_checkpoint_has_one_spelling() {
    let text = checkpoint().to_string();
    assert_eq!(text.parse(), Ok(checkpoint()));
    let root = text.lines().nth(2).unwrap();
    let of = |size: &str| format!("{ORIGIN}\n{size}\n{root}\n");
    assert_eq!(of(&MAX_SIZE.to_string()).parse::<Checkpoint>().unwrap().size(), MAX_SIZE);
    for other in [
        of("07"),
        of("+7"),
        of("-7"),
        of(" 7"),
        of("7 "),
        of(""),
        of("0x7"),
        of("9007199254740992"),
        format!("\n7\n{root}\n"),
        format!("a b\n7\n{root}\n"),
        format!("a+b\n7\n{root}\n"),
        format!("é\n7\n{root}\n"),
        format!("{}\n7\n{root}\n", "x".repeat(256)),
        format!("{ORIGIN}\n7\n{root}"),
        format!("{ORIGIN}\n7\n{root}\nextension\n"),
        format!("{ORIGIN}\n7\n{root}\n\n"),
        format!("{ORIGIN}\n7\n{}\n", root.trim_end_matches('=')),
        format!("{ORIGIN}\n7\n{}\n", common::base64(&[0; 31])),
        format!("{ORIGIN}\n7\n{}\n", common::base64(&[0; 33])),
        format!("{ORIGIN}\n7\n"),
        String::new(),
    ] {
        assert_eq!(other.parse::<Checkpoint>(), Err(CheckpointError::Text), "{other:?}");
    }
    assert!(
        Checkpoint::new("a b", 0, Hash::of(b"")).is_err()
            && Checkpoint::new(ORIGIN, MAX_SIZE + 1, Hash::of(b"")).is_err()
    );
}

#[test]
fn a_checkpoint_must_be_signed_by_its_log() {
    let (note, keys) = note();
    let open = |origin, keys: &[VerifierKey]| SignedCheckpoint::open(&note, origin, keys);
    assert_eq!(open(ORIGIN, &keys).unwrap().checkpoint(), &checkpoint());
    assert_eq!(open("bus.test/two", &keys), Err(CheckpointError::OtherOrigin(ORIGIN.into())));
    assert_eq!(open(ORIGIN, &keys[1..]), Err(CheckpointError::Unsigned), "a line of type 0x04 alone was accepted");

    // A signature by the key of another log does not count, even if the verifier knows the key and the key signed this text.
    let (other, _) = signers("bus.test/two", 5, "witness.test", 2);
    assert_eq!(other.sign(&checkpoint(), 1000), None);
    assert_eq!(open(ORIGIN, &[other.verifier_key()]), Err(CheckpointError::Unsigned));
    let alias = VerifierKey::new("bus.test/two", SignatureType::Ed25519, keys[0].public().clone()).unwrap();
    let signature = [&alias.id()[..], note.signatures()[0].bytes()].concat();
    let line = format!("— bus.test/two {}\n", common::base64(&signature));
    let others = Note::parse(format!("{}\n{line}", note.text()).as_bytes()).unwrap();
    assert_eq!(others.verify(std::slice::from_ref(&alias)).unwrap().len(), 1);
    assert_eq!(SignedCheckpoint::open(&others, ORIGIN, &[alias]), Err(CheckpointError::Unsigned));
}

#[test]
fn cosignatures_count_until_five_minutes_ahead() {
    let (note, keys) = note();
    let opened = SignedCheckpoint::open(&note, ORIGIN, &keys).unwrap();
    let counting =
        |now| opened.cosignatures(now).map(|line| (line.key.name(), line.time, line.by_log)).collect::<Vec<_>>();
    assert_eq!(counting(5000), [(ORIGIN, 1000, true), ("witness.test", 1001, false)]);
    assert_eq!(counting(701).len(), 2);
    assert_eq!(counting(700), [(ORIGIN, 1000, true)]);
    assert_eq!(counting(699), []);
    assert_eq!(counting(u64::MAX).len(), 2);

    // A cosignature by the log's key counts as the log's own, whatever name the key has.
    let alias = VerifierKey::new("alias", SignatureType::Cosignature, keys[0].public().clone()).unwrap();
    let alias_signer = WitnessSigner::new(&keyring(seed(9), seed(1)), "alias").unwrap();
    assert_eq!(alias_signer.verifier_key(), alias);
    let lines = [note.signatures(), &[alias_signer.cosign(&checkpoint(), 1002)]].concat();
    let note = Note::new(note.text().into(), lines).unwrap();
    let opened = SignedCheckpoint::open(&note, ORIGIN, &[keys[0].clone(), alias]).unwrap();
    assert!(opened.cosignatures(5000).all(|line| line.by_log));
    assert_eq!(opened.cosignatures(5000).count(), 1);

    // A cosignature by another key counts as the log's own if the key has the log's name.
    let namesake = WitnessSigner::new(&keyring(seed(9), seed(5)), ORIGIN).unwrap();
    let lines = [note.signatures(), &[namesake.cosign(&checkpoint(), 1003)]].concat();
    let note = Note::new(note.text().into(), lines).unwrap();
    let opened = SignedCheckpoint::open(&note, ORIGIN, &[keys[0].clone(), namesake.verifier_key()]).unwrap();
    assert_eq!(opened.cosignatures(5000).map(|line| (line.time, line.by_log)).collect::<Vec<_>>(), [(1003, true)]);
}

#[test]
fn a_log_signs_its_own_checkpoints_only_and_with_the_one_active_key() {
    let (log, _) = signers(ORIGIN, 1, "witness.test", 2);
    let heartbeat = log.sign(&checkpoint(), 2000).unwrap();
    let first = log.sign(&checkpoint(), 1000).unwrap();
    assert_eq!((heartbeat.text(), &heartbeat.signatures()[0]), (first.text(), &first.signatures()[0]));
    assert_ne!(heartbeat.signatures()[1], first.signatures()[1]);

    let key = |number: u8, status: &str| {
        let public = PublicKey::of_seed(&seed(number));
        let id = KeyKind::Log.id_of_public(public.as_bytes());
        json!({ "id": id, "secret": common::base64(&seed(number)), "public": common::base64(public.as_bytes()), "status": status })
    };
    let signer = |keys: &[serde_json::Value]| {
        let keyring = Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap();
        LogSigner::new(&keyring, ORIGIN).map(|signer| signer.verifier_key().public().clone())
    };
    let (one, retired) = (key(1, "active"), key(2, "retired"));
    assert_eq!(signer(&[one.clone(), retired.clone()]).unwrap(), PublicKey::of_seed(&seed(1)));
    let refused = |keys: &[serde_json::Value]| signer(keys).unwrap_err().to_string();
    assert_eq!(refused(std::slice::from_ref(&retired)), "the keyring has no active log- key");
    assert_eq!(refused(&[one.clone(), key(3, "active")]), "the keyring has more than one active log- key");
    let mut public = one.clone();
    public["secret"] = serde_json::Value::Null;
    assert!(matches!(signer(&[public]), Err(SignerError::Keyring(KeyringError::NoSecret { .. }))));

    let keyring = Keyring::parse(&json!({ "keys": [one, retired, key(4, "revoked")] }).to_string()).unwrap();
    let trusted: Vec<_> = keyring.public_keys(KeyKind::Log).cloned().collect();
    assert_eq!(trusted, [PublicKey::of_seed(&seed(1)), PublicKey::of_seed(&seed(2))]);
    assert!(matches!(LogSigner::new(&keyring, "a b"), Err(SignerError::Name { .. })));
    assert!(matches!(WitnessSigner::new(&keyring, "witness"), Err(SignerError::Keyring(_))));
    let shown = format!("{:?}", LogSigner::new(&keyring, ORIGIN).unwrap());
    assert!(shown.starts_with("LogSigner(bus.test/one+"), "{shown}");
}

proptest! {
    #[test]
    fn any_checkpoint_round_trips(origin in "[!-*,-~]{1,255}", size in 0..=MAX_SIZE, root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint::new(&origin, size, Hash(root)).unwrap();
        prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }
}
