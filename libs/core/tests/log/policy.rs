//! Trust policies: parsing, and when a quorum is reached.

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use sealbus_core::log::note::{Note, SignatureType, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};

use crate::common::log::{ORIGIN, signers};

const NOW: u64 = 1_795_238_041;

fn witness(number: u8) -> WitnessSigner {
    signers(ORIGIN, 100, &format!("witness.test/{number}"), number).1
}

fn log() -> LogSigner {
    signers(ORIGIN, 100, "w", 101).0
}

/// Parses a policy in which `LOG` and `W1` to `W6` are replaced by keys.
fn policy(file: &str) -> Result<Policy, String> {
    let mut file = file.replace("LOG", &log().verifier_key().to_string());
    for number in 1..=6 {
        file = file.replace(&format!("W{number}"), &witness(number).verifier_key().to_string());
    }
    Policy::parse(file.as_bytes()).map_err(|error| error.to_string())
}

/// Returns a checkpoint of the log, cosigned by these witnesses at these times.
fn cosigned(policy: &Policy, by: &[(u8, u64)]) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(ORIGIN, 7, Hash::of(b"seven")).unwrap();
    let own = log().sign(&checkpoint, NOW).unwrap();
    let lines = by.iter().map(|(number, time)| witness(*number).cosign(&checkpoint, *time));
    let lines = own.signatures().iter().cloned().chain(lines).collect();
    policy.open(&Note::new(own.text().into(), lines).unwrap(), ORIGIN).unwrap()
}

/// Returns whether cosignatures of these witnesses reach the quorum.
fn reached(policy: &Policy, by: &[u8]) -> bool {
    let by: Vec<_> = by.iter().map(|number| (*number, NOW)).collect();
    let signed = cosigned(policy, &by);
    let quorum = policy.quorum(&signed, NOW);
    assert_eq!(quorum.witnesses.len(), by.len());
    quorum.reached
}

/// The example of tlog-policy.
const EXAMPLE: &str = "log LOG

witness X1 W1
witness X2 W2
witness X3 W3
group X-witnesses 2 X1 X2 X3

witness Y1 W4
witness Y2 W5
witness Y3 W6
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
";

#[test]
fn the_example_of_the_specification_has_its_quorum() {
    // The specification abbreviates the keys of its example.
    let example = EXAMPLE.lines().map(|line| line.to_owned() + "\n").collect::<String>();
    let policy = policy(&example).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len(), policy.keys().len()), (1, 6, 8));
    assert_eq!(policy.witnesses()[3].name, b"Y1");
    for by in [&[1, 2, 4][..], &[1, 3, 5], &[2, 3, 6], &[1, 2, 3, 4, 5, 6], &[6, 2, 1]] {
        assert!(reached(&policy, by), "{by:?}");
    }
    for by in [&[][..], &[1], &[1, 2], &[1, 2, 3], &[4, 5, 6], &[1, 4], &[3, 4, 5, 6]] {
        assert!(!reached(&policy, by), "{by:?}");
    }
}

#[test]
fn a_quorum_can_be_empty_a_witness_or_a_group() {
    assert!(reached(&policy("quorum none\nlog LOG").unwrap(), &[]));
    let one = policy("log LOG https://bus.test\nwitness all W1 https://witness.test/\nquorum all\n").unwrap();
    assert!(reached(&one, &[1]) && !reached(&one, &[]));
    assert_eq!(one.logs(), [log().verifier_key()]);
    assert_eq!(one.witnesses()[0].url.as_deref(), Some(&b"https://witness.test/"[..]));
    let two = policy("log LOG\nwitness a W1\nwitness b W2\ngroup any 2 a b\nquorum any\n").unwrap();
    assert!(reached(&two, &[1, 2]) && !reached(&two, &[1]) && !reached(&two, &[2]));
    // White space and comments are allowed, also bytes that are not UTF-8.
    let odd = b" # \xff\xfe\n\t\n  quorum \t none  \n\t#log".to_vec();
    assert_eq!(Policy::parse(&odd).unwrap().keys(), []);
}

#[test]
fn cosignatures_of_the_log_and_from_the_future_do_not_count() {
    let policy = policy("log LOG\nwitness a W1\nquorum a\n").unwrap();
    let counts = |time| policy.quorum(&cosigned(&policy, &[(1, time)]), NOW).reached;
    assert!(counts(0) && counts(NOW) && counts(NOW + 300));
    assert!(!counts(NOW + 301) && !counts(i64::MAX as u64));
    // Two lines of one witness are one witness, and one valid time is sufficient.
    let twice = cosigned(&policy, &[(1, NOW + 301), (1, NOW)]);
    assert_eq!(policy.quorum(&twice, NOW).witnesses.len(), 1);

    // A policy may list the key of the log as a witness. Its cosignature does not count.
    let own = log().verifier_key().with_type(SignatureType::Cosignature);
    let file = format!("log {}\nwitness own {own}\nquorum own\n", log().verifier_key());
    let policy = Policy::parse(file.as_bytes()).unwrap();
    let signed = cosigned(&policy, &[]);
    assert!(signed.cosignatures(NOW).any(|line| *line.key == own));
    assert_eq!((policy.quorum(&signed, NOW).reached, policy.quorum(&signed, NOW).witnesses), (false, vec![]));
}

#[test]
fn each_pinned_log_key_verifies_and_other_keys_do_not() {
    let (new, _) = signers(ORIGIN, 102, "w", 101);
    let both = format!("log {}\nlog {}\nquorum none\n", log().verifier_key(), new.verifier_key());
    let both = Policy::parse(both.as_bytes()).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, 7, Hash::of(b"seven")).unwrap();
    for signer in [log(), new.clone()] {
        assert!(both.open(&signer.sign(&checkpoint, NOW).unwrap(), ORIGIN).is_ok());
    }
    let one = policy("log LOG\nquorum none\n").unwrap();
    assert_eq!(one.open(&new.sign(&checkpoint, NOW).unwrap(), ORIGIN), Err(CheckpointError::Unsigned));
}

#[test]
fn faults_are_reported_with_their_line() {
    let log_key = log().verifier_key();
    let time_key = log_key.with_type(SignatureType::Cosignature);
    let plain = witness(1).verifier_key().with_type(SignatureType::Ed25519);
    let other_name = VerifierKey::new("other", SignatureType::Cosignature, witness(1).verifier_key().public().clone());
    let other_name = other_name.unwrap();
    for (file, fault) in [
        (String::new(), "policy line 2: missing quorum line"),
        ("log LOG\n".into(), "policy line 2: missing quorum line"),
        ("quorum none\nquorum none\n".into(), "policy line 2: second quorum line"),
        ("quorum\n".into(), "policy line 1: wrong number of words for quorum"),
        ("quorum none none\n".into(), "policy line 1: wrong number of words for quorum"),
        ("quorum a\n".into(), "policy line 1: a is not defined on an earlier line"),
        ("quorum a\nwitness a W1\n".into(), "policy line 1: a is not defined on an earlier line"),
        ("Quorum none\n".into(), "policy line 1: unknown keyword Quorum: expected log, witness, group or quorum"),
        ("quorum none\r\n".into(), "policy line 1: control character other than tab"),
        ("quorum none\n\x7f".into(), "policy line 2: control character other than tab"),
        ("log\n".into(), "policy line 1: wrong number of words for log"),
        ("log LOG x y\n".into(), "policy line 1: more than one word after the vkey"),
        ("\nlog x\n".into(), "policy line 2: malformed vkey: expected <name>+<8 lower-case hex digits>+<base64>"),
        (format!("log {time_key}\n"), "policy line 1: the vkey of a log must be of type 0x01 (Ed25519)"),
        ("log LOG\nlog LOG u\n".into(), "policy line 2: the public key is used by another log"),
        ("witness W1\n".into(), "policy line 1: wrong number of words for witness"),
        (format!("witness a {plain}\n"), "policy line 1: the vkey of a witness must be of type 0x04 (cosignature/v1)"),
        ("witness none W1\n".into(), "policy line 1: the name none is reserved or already defined"),
        ("witness a W1\nwitness a W2\n".into(), "policy line 2: the name a is reserved or already defined"),
        (format!("witness a W1\nwitness b {other_name}\n"), "policy line 2: the public key is used by another witness"),
        ("witness a W1\ngroup a any a\n".into(), "policy line 2: the name a is reserved or already defined"),
        ("witness a W1\ngroup none any a\n".into(), "policy line 2: the name none is reserved or already defined"),
        ("group g any\n".into(), "policy line 1: a group needs at least one member"),
        ("group g any g\n".into(), "policy line 1: g is not defined on an earlier line"),
        ("group g any none\n".into(), "policy line 1: none is not defined on an earlier line"),
        ("witness a W1\ngroup g any a a\n".into(), "policy line 2: a is already a member of a group"),
        ("witness a W1\ngroup g any a\ngroup h any a\n".into(), "policy line 3: a is already a member of a group"),
        (
            "witness a W1\ngroup g 0 a\n".into(),
            "policy line 2: invalid threshold: expected any, all or a number from 1 to 1",
        ),
        (
            "witness a W1\ngroup g 2 a\n".into(),
            "policy line 2: invalid threshold: expected any, all or a number from 1 to 1",
        ),
        (
            "witness a W1\ngroup g 01 a\n".into(),
            "policy line 2: invalid threshold: expected any, all or a number from 1 to 1",
        ),
        (
            "witness a W1\ngroup g +1 a\n".into(),
            "policy line 2: invalid threshold: expected any, all or a number from 1 to 1",
        ),
    ] {
        assert_eq!(policy(&file).unwrap_err(), fault, "{file}");
    }
    let long = [b"quorum none\n#", vec![b'x'; Policy::MAX_BYTES].as_slice()].concat();
    assert_eq!(Policy::parse(&long).unwrap_err().line, 1);
    assert!(Policy::parse(&long[..Policy::MAX_BYTES]).is_ok());
}

#[test]
fn names_are_byte_strings() {
    let file = |name: &[u8]| {
        let witness = witness(1).verifier_key().to_string();
        [b"witness \xff ", witness.as_bytes(), b"\nquorum ", name, b"\n"].concat()
    };
    assert!(Policy::parse(&file(b"\xff")).is_ok());
    assert!(Policy::parse(&file(b"\xfe")).is_err());
    assert!(Policy::parse(&file("\u{fffd}".as_bytes())).is_err());
}

#[test]
fn a_quorum_is_reachable_if_enough_witnesses_can_cosign() {
    let reachable = |file: &str, can_cosign: &[&str]| {
        let policy = policy(file).unwrap();
        policy.is_reachable(ORIGIN, |witness| can_cosign.iter().any(|name| name.as_bytes() == witness.name))
    };
    let file = "log LOG\nwitness a W1\nwitness b W2\nwitness c W3\ngroup most 2 a b c\nquorum most\n";
    assert!(reachable(file, &["a", "c"]));
    assert!(!reachable(file, &["b"]));
    assert!(reachable("log LOG\nwitness a W1\nquorum none\n", &[]));
    let own = log().verifier_key().with_type(SignatureType::Cosignature);
    assert!(!reachable(&format!("log LOG\nwitness own {own}\nquorum own\n"), &["own"]));
}
