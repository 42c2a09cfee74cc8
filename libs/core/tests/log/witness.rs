//! Requests to a witness, its decision, and proofs of events.

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::proof::{EventProof, EventProofError};
use sealbus_core::log::witness::{AddCheckpoint, CosignedTree, Refusal, encode_size, parse_size};
use sealbus_core::log::{MAX_SIZE, merkle};

use crate::common;
use crate::common::log::{ORIGIN, Tree, leaf_hashes, signers};

fn tree() -> Tree {
    Tree::of(&leaf_hashes(300), 7)
}

fn root(size: u64) -> Hash {
    Tree::of(&leaf_hashes(usize::try_from(size).unwrap()), 99).edge.root()
}

fn policy() -> Policy {
    let (log, _) = signers(ORIGIN, 1, "witness.test", 2);
    Policy::parse(format!("log {}\nquorum none\n", log.verifier_key()).as_bytes()).unwrap()
}

fn signed(origin: &str, size: u64, root: Hash) -> Note {
    let (log, _) = signers(origin, 1, "witness.test", 2);
    log.sign(&Checkpoint::new(origin, size, root).unwrap(), 1000).unwrap()
}

fn request(old: u64, size: u64) -> AddCheckpoint {
    AddCheckpoint::new(old, tree().consistency(old, size), signed(ORIGIN, size, root(size))).unwrap()
}

fn last(size: u64) -> CosignedTree {
    CosignedTree { size, root: root(size) }
}

#[test]
fn a_consistent_checkpoint_is_cosigned() {
    for (old, size) in [(0, 0), (0, 1), (0, 300), (1, 1), (1, 2), (7, 300), (255, 257), (256, 300), (300, 300)] {
        let request = request(old, size);
        let read = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(read, request);
        assert_eq!(read.decide(&policy(), last(old)), Ok(last(size)), "{old} to {size}");
    }
    assert_eq!(CosignedTree::empty(), last(0));

    // The log adds the line of the response to its note.
    let (_, witness) = signers(ORIGIN, 1, "witness.test", 2);
    let (note, known) = (request(7, 300).note().clone(), [witness.verifier_key()]);
    let answer = witness.cosign(request(7, 300).checkpoint(), 1001).to_string();
    let cosigned = note.with_cosignatures(&answer, &known).unwrap();
    assert_eq!(cosigned.to_string(), format!("{note}{answer}"));
    assert_eq!(cosigned.verify(&known).unwrap()[0].time, Some(1001));
    // Add a line that is there already, the line of an unknown key, an invalid line, and no line.
    assert_eq!(cosigned.with_cosignatures(&answer, &known).as_ref(), Ok(&cosigned));
    assert_eq!(note.with_cosignatures(&answer, &[]).as_ref(), Ok(&note));
    let wrong = witness.cosign(request(7, 255).checkpoint(), 1001).to_string();
    assert!(note.with_cosignatures(&wrong, &known).is_err());
    assert!(note.with_cosignatures("", &known).is_err() && note.with_cosignatures(answer.trim_end(), &known).is_err());
}

#[test]
fn each_refusal_has_the_status_of_the_specification() {
    let decide = |request: AddCheckpoint, last| request.decide(&policy(), last).unwrap_err();
    let with = |old, hashes, note| AddCheckpoint::new(old, hashes, note).unwrap();
    // The origin is unknown; this is checked before anything else.
    let unknown = with(9, vec![], signed("bus.test/two", 7, root(7)));
    assert_eq!((decide(unknown.clone(), last(3)), decide(unknown, last(3)).status()), (Refusal::UnknownLog, 404));
    // The log did not sign, or one of its lines is invalid.
    let (stranger, _) = signers(ORIGIN, 9, "witness.test", 2);
    let strangers = stranger.sign(&Checkpoint::new(ORIGIN, 7, root(7)).unwrap(), 1000).unwrap();
    assert_eq!(decide(with(9, vec![], strangers), last(3)).status(), 403);
    let lines = signed(ORIGIN, 8, root(8)).signatures().to_vec();
    let forged = Note::new(Checkpoint::new(ORIGIN, 7, root(7)).unwrap().to_string(), lines).unwrap();
    assert_eq!(decide(with(9, vec![], forged), last(3)).status(), 403);
    // The old size exceeds the size.
    let shrunk = decide(with(9, vec![], signed(ORIGIN, 7, root(7))), last(3));
    assert_eq!((&shrunk, shrunk.status()), (&Refusal::Shrunk, 400));
    // The old size is not the size cosigned last, even if the proof is valid, or the witness never cosigned.
    for (old, cosigned) in [(3, 4), (4, 3), (0, 3), (3, 0)] {
        let conflict = decide(request(old, 7), last(cosigned));
        assert_eq!((&conflict, conflict.status()), (&Refusal::Conflict { size: cosigned }, 409));
    }
    // The trees are of two histories, or the proof is of other sizes.
    let other_root = |size| signed(ORIGIN, size, root(1));
    for wrong in [
        with(3, tree().consistency(3, 7), other_root(7)),
        with(3, vec![], other_root(3)),
        with(3, vec![], signed(ORIGIN, 7, root(7))),
        with(3, tree().consistency(2, 7), signed(ORIGIN, 7, root(7))),
    ] {
        assert_eq!(decide(wrong, last(3)).status(), 422);
    }
    for wrong in [
        with(0, tree().consistency(3, 7), signed(ORIGIN, 7, root(7))),
        with(0, vec![], other_root(0)),
        with(0, vec![root(1)], signed(ORIGIN, 0, root(0))),
    ] {
        assert_eq!(decide(wrong, last(0)).status(), 422);
    }
}

#[test]
fn a_request_has_one_spelling() {
    let note = signed(ORIGIN, 7, root(7)).to_string();
    let hash = common::base64(&[7; 32]);
    let parse = |text: &str| AddCheckpoint::parse(text.as_bytes());
    assert!(parse(&format!("old {MAX_SIZE}\n\n{note}")).is_ok());
    assert!(parse(&format!("old 0\n{}\n{note}", format!("{hash}\n").repeat(63))).is_ok());
    for other in [
        String::new(),
        note.clone(),
        format!("\n{note}"),
        format!("old 0\n{note}"),
        format!("old 0\n\n\n{note}"),
        format!("old 0\r\n\n{note}"),
        format!("old  0\n\n{note}"),
        format!("old 00\n\n{note}"),
        format!("old -0\n\n{note}"),
        format!("old 9007199254740992\n\n{note}"),
        format!("Old 0\n\n{note}"),
        format!("old 0\n{}\n{note}", format!("{hash}\n").repeat(64)),
        format!("old 0\n{}\n\n{note}", &hash[1..]),
        format!("old 0\n{hash} \n\n{note}"),
        format!("old 0\n{}\n\n{note}", common::base64(&[7; 33])),
        format!("old 0\n\n{}", note.trim_end()),
        format!("old 0\n\n{}", note.replacen("\n7\n", "\n07\n", 1)),
        format!("old 0\n\n{}", note.replacen("\n\n", "\nx\n\n", 1)),
        "old 0\n\n".into(),
    ] {
        assert_eq!(parse(&other).unwrap_err().status(), 400, "{other:?}");
    }
    assert!(AddCheckpoint::parse(&vec![b'x'; AddCheckpoint::MAX_BYTES + 1]).is_err());
    assert_eq!(AddCheckpoint::new(0, vec![root(1); 64], signed(ORIGIN, 7, root(7))).unwrap_err().status(), 400);

    assert_eq!(parse_size(encode_size(20_852_163).as_bytes()), Some(20_852_163));
    for other in ["", "\n", "1", "01\n", "1\n\n", "1\r\n", " 1\n"] {
        assert_eq!(parse_size(other.as_bytes()), None, "{other:?}");
    }
}

fn proof() -> EventProof {
    let (leaf, tree) = (b"leaf 5".to_vec(), Tree::of(&leaf_hashes(7), 7));
    EventProof { leaf, index: 5, hashes: tree.inclusion(5, 7), note: signed(ORIGIN, 7, root(7)) }
}

#[test]
fn an_event_proof_is_bound_to_leaf_log_and_checkpoint() {
    let proof = proof();
    assert_eq!(EventProof::parse(proof.to_string().as_bytes()).as_ref(), Ok(&proof));
    let opened = proof.verify(b"leaf 5", &policy(), ORIGIN).unwrap();
    assert_eq!(proof.check(b"leaf 5", opened.checkpoint()), Ok(()));

    let verdict =
        |proof: &EventProof, leaf: &[u8]| proof.verify(leaf, &policy(), ORIGIN).unwrap_err().verdict().as_str();
    assert_eq!(verdict(&proof, b"leaf 6"), "LEAF_MISMATCH");
    // A proof with another leaf in its extra line does not verify.
    assert_eq!(verdict(&EventProof { leaf: b"leaf 6".to_vec(), ..proof.clone() }, b"leaf 6"), "PROOF");
    assert_eq!(verdict(&EventProof { index: 6, ..proof.clone() }, b"leaf 5"), "PROOF");
    assert_eq!(verdict(&EventProof { note: signed(ORIGIN, 7, root(6)), ..proof.clone() }, b"leaf 5"), "PROOF");
    let others = EventProof { note: signed("bus.test/two", 7, root(7)), ..proof.clone() };
    assert!(matches!(others.verify(b"leaf 5", &policy(), ORIGIN), Err(EventProofError::Checkpoint(_))));
    assert_eq!(verdict(&others, b"leaf 5"), "PROOF");
    let newer = Checkpoint::new(ORIGIN, 9, root(9)).unwrap();
    assert!(matches!(proof.check(b"leaf 5", &newer), Err(EventProofError::Inclusion(merkle::ProofError::Short))));
}

#[test]
fn an_event_proof_has_one_spelling() {
    let (proof, note) = (proof().to_string(), signed(ORIGIN, 7, root(7)));
    let parse = |text: &str| EventProof::parse(text.as_bytes());
    let extra = common::base64(b"leaf 5");
    let head = format!("c2sp.org/tlog-proof@v1\nextra {extra}\n");
    let hash = common::base64(&[7; 32]);
    assert!(parse(&format!("{head}index {MAX_SIZE}\n{}\n{note}", format!("{hash}\n").repeat(53))).is_ok());
    for other in [
        String::new(),
        proof.replacen("@v1", "@v2", 1),
        proof.replacen("c2sp.org", "C2SP.org", 1),
        proof.replacen(&format!("extra {extra}\n"), "", 1),
        proof.replacen("extra", "Extra", 1),
        proof.replacen(&extra, &extra[1..], 1),
        proof.replacen("index 5", "index 05", 1),
        proof.replacen("index 5", "index  5", 1),
        proof.replacen("index 5", "index 9007199254740992", 1),
        proof.replacen("index 5\n", "", 1),
        proof.replacen("\n\n", "\n", 1),
        proof.replacen("\n\n", "\n\n\n", 1),
        proof.replace('\n', "\r\n"),
        proof.trim_end().into(),
        format!("{proof}\n"),
        format!("{head}index 5\n{}\n{note}", format!("{hash}\n").repeat(54)),
        format!("{head}index 5\n{}\n\n{note}", common::base64(&[7; 31])),
        format!("c2sp.org/tlog-proof@v1\nextra {}\nindex 5\n\n{note}", common::base64(&vec![7; 65_536])),
        format!("{head}index 5\n"),
        format!("{head}index 5\n\n"),
    ] {
        assert_eq!(parse(&other).unwrap_err().verdict().as_str(), "PROOF", "{other:?}");
    }
    assert!(EventProof::parse(&vec![b'x'; EventProof::MAX_BYTES + 1]).is_err());
}

proptest! {
    /// Changes, inserts or removes a byte. The result is refused, or it parses to the changed value.
    #[test]
    fn no_other_spelling_is_accepted(index in any::<Index>(), byte in any::<u8>(), how in 0..3, of_proof in any::<bool>()) {
        let text = if of_proof { proof().to_string() } else { request(3, 7).to_string() };
        let mut bytes = text.into_bytes();
        let index = index.index(bytes.len());
        match how {
            0 => bytes[index] = byte,
            1 => bytes.insert(index, byte),
            _ => drop(bytes.remove(index)),
        }
        let read = if of_proof {
            EventProof::parse(&bytes).ok().map(|proof| proof.to_string())
        } else {
            AddCheckpoint::parse(&bytes).ok().map(|request| request.to_string())
        };
        prop_assert!(read.is_none_or(|read| read.into_bytes() == bytes));
    }

    /// After any sequence of requests, the tree of the witness continues all trees before it.
    #[test]
    fn a_witness_never_cosigns_an_inconsistent_tree(requests in prop::collection::vec((0..12_u64, 0..12_u64, 0..3), 1..20)) {
        let (mut last, policy) = (CosignedTree::empty(), policy());
        for (old, size, fork) in requests {
            // One in three requests is of another history.
            let leaves: Vec<_> = leaf_hashes(12).into_iter().map(|hash| if fork == 2 { Hash::of(&hash.0) } else { hash }).collect();
            let tree = Tree::of(&leaves, 12);
            let root = Tree::of(&leaves[..usize::try_from(size).unwrap()], 12).edge.root();
            let hashes = if old <= size { tree.consistency(old, size) } else { vec![] };
            let request = AddCheckpoint::new(old, hashes, signed(ORIGIN, size, root)).unwrap();
            if let Ok(next) = request.decide(&policy, last) {
                prop_assert!(next.size >= last.size);
                let proof = tree.consistency(last.size, next.size);
                prop_assert_eq!(merkle::verify_consistency(last.size, next.size, &proof, &last.root, &next.root), Ok(()));
                last = next;
            }
        }
    }
}
