//! Signed notes and their keys: the accepted forms, and the verification of signature lines.

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::{Note, NoteError, Signature, VerifierKey, VerifierKeyError, is_key_name};
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::PublicKey;

use crate::common;
use crate::common::log::{ORIGIN, checkpoint, keyring, note, signers};

fn parse(note: &str) -> Result<Note, NoteError> {
    Note::parse(note.as_bytes())
}

#[test]
fn a_note_has_one_form() {
    let line = "— a AAAAAAA=\n";
    for note in
        [format!("\n\n{line}"), format!("text\n\nmore — text\n\n{line}"), format!("é\n\n{line}— b/ü AAAAAAA=\n")]
    {
        assert_eq!(parse(&note).unwrap().to_string(), note);
    }
    for other in [
        String::new(),
        "\n\n".into(),
        "text\n\n".into(),
        line.into(),
        format!("\n{line}"),
        format!("text\n{line}"),
        format!("text\n\n{line}\n"),
        format!("text\n\n{line}text\n"),
        format!("text\n\n{line}{}", line.trim_end()),
        format!("text\r\n\r\n{line}"),
        format!("te\txt\n\n{line}"),
        format!("te\0xt\n\n{line}"),
        "text\n\n— a AAAAAA==\n".into(),
        "text\n\n— a AAAAAAB=\n".into(),
        "text\n\n— a AAAAAAA\n".into(),
        "text\n\n— a  AAAAAAA=\n".into(),
        "text\n\n—  AAAAAAA=\n".into(),
        "text\n\n— AAAAAAA=\n".into(),
        "text\n\n— a+b AAAAAAA=\n".into(),
        "text\n\n— a\u{2003}b AAAAAAA=\n".into(),
        "text\n\n- a AAAAAAA=\n".into(),
        "text\n\n—a AAAAAAA=\n".into(),
        "text\n\n — a AAAAAAA=\n".into(),
    ] {
        assert!(matches!(parse(&other), Err(NoteError::Malformed(_))), "{other:?}");
    }
    assert!(Note::parse(b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
}

#[test]
fn the_limits_of_a_note_are_enforced() {
    let of = |signatures: usize| format!("text\n\n{}", "— a AAAAAAA=\n".repeat(signatures));
    assert_eq!(parse(&of(64)).unwrap().signatures().len(), 64);
    assert!(parse(&of(65)).is_err());
    let long = |length: usize| format!("{}\n\n— a AAAAAAA=\n", "x".repeat(length - 17));
    assert!(parse(&long(Note::MAX_BYTES)).is_ok());
    assert!(parse(&long(Note::MAX_BYTES + 1)).is_err());
}

#[test]
fn a_note_that_would_parse_differently_is_refused() {
    let signatures = note().0.signatures().to_vec();
    for text in ["", "no newline", "a\r\n", "text\n\n— a AAAAAAA=\n"] {
        let made = Note::new(text.into(), signatures.clone());
        // A text that looks like a note is allowed.
        assert_eq!(made.is_ok(), text.starts_with("text"), "{text:?}: {made:?}");
    }
    assert!(Note::new("text\n".into(), vec![]).is_err());
}

#[test]
fn unknown_keys_are_ignored_and_an_invalid_line_of_a_known_key_refuses_the_note() {
    let (note, keys) = note();
    assert_eq!(note.verify(&keys).unwrap().len(), 3);
    assert_eq!(note.verify(&keys[2..]).unwrap().len(), 1);
    assert_eq!(note.verify(&[]).unwrap(), []);

    let other_text = Note::new("another\n".into(), note.signatures().to_vec()).unwrap();
    assert_eq!(other_text.verify(&keys[2..]), Err(NoteError::BadSignature("witness.test".into())));
    assert_eq!(other_text.verify(&[]).unwrap(), []);

    // Valid lines do not compensate for an invalid one, in any order.
    let (_, stranger) = signers(ORIGIN, 1, "witness.test", 3);
    let (one, other) = (note.signatures()[2].clone(), stranger.cosign(&checkpoint(), 1001));
    let wrong = line_of_another_text(&keys[2]);
    for lines in [vec![one.clone(), wrong.clone()], vec![wrong, one.clone()]] {
        let note = Note::new(note.text().into(), lines).unwrap();
        assert!(note.verify(&keys).is_err());
    }
    // A line of another key with the same name is a line of an unknown key.
    let note = Note::new(note.text().into(), vec![one, other]).unwrap();
    assert_eq!(note.verify(&keys).unwrap().len(), 1);
}

/// Returns a line of the witness under another checkpoint.
fn line_of_another_text(key: &VerifierKey) -> Signature {
    let (_, witness) = signers(ORIGIN, 1, "witness.test", 2);
    assert_eq!(witness.verifier_key(), *key);
    witness.cosign(&Checkpoint::new(ORIGIN, 8, Hash::of(b"eight")).unwrap(), 1001)
}

#[test]
fn a_cosignature_is_bound_to_its_time() {
    let (note, keys) = note();
    let line = note.signatures()[2].to_string();
    let moved = |time: u64| {
        let mut bytes = common::unbase64(line.trim_end().rsplit(' ').next().unwrap());
        bytes[4..12].copy_from_slice(&time.to_be_bytes());
        let line = format!("— witness.test {}\n", common::base64(&bytes));
        parse(&format!("{}\n{line}", note.text())).unwrap().verify(&keys)
    };
    assert_eq!(moved(1001).unwrap()[0].time, Some(1001));
    assert!(moved(1002).is_err());

    let (_, witness) = signers(ORIGIN, 1, "witness.test", 2);
    let of = |time| Note::new(note.text().into(), vec![witness.cosign(&checkpoint(), time)]).unwrap().verify(&keys);
    assert_eq!(of(i64::MAX as u64).unwrap()[0].time, Some(i64::MAX as u64));
    assert!(of(i64::MAX as u64 + 1).is_err());
}

/// Key ids have four bytes, so two keys with the same name and id can be found: here among 11,857 seeds.
#[test]
fn two_keys_that_share_name_and_id_both_verify() {
    let pairs = [728_u32, 11_856].map(|number| {
        let keyring = keyring(Hash::of(b"log").0, Hash::of(&number.to_be_bytes()).0);
        WitnessSigner::new(&keyring, "witness.example/w1").unwrap()
    });
    let keys = [pairs[0].verifier_key(), pairs[1].verifier_key()];
    assert_eq!(keys[0].id(), keys[1].id());
    let lines = [pairs[0].cosign(&checkpoint(), 1), pairs[1].cosign(&checkpoint(), 2)];
    let note = Note::new(checkpoint().to_string(), lines.to_vec()).unwrap();
    let verified = note.verify(&keys).unwrap();
    assert_eq!(verified.iter().map(|line| &line.key).collect::<Vec<_>>(), [&keys[0], &keys[1]]);
    assert!(note.verify(&keys[..1]).is_err(), "a line of an unknown key with a known name and id was accepted");
}

#[test]
fn a_vkey_has_one_spelling() {
    let key = signers(ORIGIN, 1, "witness.test", 2).0.verifier_key();
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    let (name, id, public) = (ORIGIN, hex::encode(key.id()), text.rsplit('+').next().unwrap());
    let of_type = |code: u8, public: &[u8]| common::base64(&[&[code], public].concat());
    let small = PublicKey::from_bytes(&[0; 32]);
    assert_eq!(small, None);
    for (text, error) in [
        (format!("{name}+{id}"), VerifierKeyError::Form),
        (format!("{name}+{id}+{}", &public[1..]), VerifierKeyError::Form),
        (format!("{name}+{id}+"), VerifierKeyError::Form),
        (format!("+{id}+{public}"), VerifierKeyError::Name),
        (format!("a b+{id}+{public}"), VerifierKeyError::Name),
        (format!("x{name}+{id}+{public}"), VerifierKeyError::Id),
        (format!("{name}+{}+{public}", id.to_uppercase()), VerifierKeyError::Id),
        (format!("{name}+{}+{public}", &id[1..]), VerifierKeyError::Id),
        (format!("{name}+{id}+{}", of_type(4, key.public().as_bytes())), VerifierKeyError::Id),
        (format!("{name}+{id}+{}", of_type(2, key.public().as_bytes())), VerifierKeyError::Type),
        (format!("{name}+{id}+{}", of_type(6, &[7; 1312])), VerifierKeyError::Type),
        (format!("{name}+{id}+{}", of_type(1, &key.public().as_bytes()[1..])), VerifierKeyError::Public),
        (format!("{name}+{id}+{}", of_type(1, &[0; 32])), VerifierKeyError::Public),
        (format!("{text}\n"), VerifierKeyError::Form),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
    assert!(is_key_name("witness.example/ü") && !is_key_name("") && !is_key_name("a\u{a0}b") && !is_key_name("a\nb"));
}

proptest! {
    /// Changes, inserts or removes a byte of a note. The result is refused, or it parses to the changed note. In the
    /// latter case only unchanged lines over an unchanged text verify.
    #[test]
    fn no_other_spelling_is_accepted(index in any::<Index>(), byte in any::<u8>(), how in 0..3) {
        let (note, keys) = note();
        let mut bytes = note.to_string().into_bytes();
        let index = index.index(bytes.len());
        match how {
            0 => bytes[index] = byte,
            1 => bytes.insert(index, byte),
            _ => drop(bytes.remove(index)),
        }
        let Ok(read) = Note::parse(&bytes) else { return Ok(()) };
        prop_assert_eq!(read.to_string().into_bytes(), bytes);
        if read.text() == note.text() {
            let verified = note.verify(&keys).unwrap();
            prop_assert!(read.verify(&keys).unwrap_or_default().iter().all(|line| verified.contains(line)));
        } else {
            prop_assert!(read.verify(&keys).is_err() || read.verify(&keys).unwrap().is_empty());
        }
    }
}
