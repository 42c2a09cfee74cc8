//! Tests that change tiles, notes and proofs: rows 16 and 25 to 29 of the tampering table
//! (docs/spec/integrity.md#tampering-table).

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_ledger::log::{SealingState, Signing};
use sealbus_sealer::anchors::Anchor as _;
use serde_json::Value;

use crate::scene::{ORIGIN, SIZE, Scene, findings_of, now};

/// Returns the newest anchored note and its checkpoint.
async fn newest(scene: &Scene) -> (Note, Checkpoint) {
    let notes = scene.anchors().notes(true).await.unwrap();
    let note = Note::parse(notes.last().unwrap()).unwrap();
    let checkpoint = note.text().parse().unwrap();
    (note, checkpoint)
}

/// Returns a log key that no verifier pins.
fn unknown_log_key() -> LogSigner {
    let seed: Vec<u8> = (200..232).collect();
    let keyring = Keyring::generate(KeyKind::Log, seed.as_slice().try_into().unwrap()).unwrap();
    LogSigner::new(&Keyring::parse(&keyring).unwrap(), ORIGIN).unwrap()
}

/// Replaces the newest checkpoint in the database.
async fn store_checkpoint(scene: &Scene, note: &str) {
    scene.tamper(&format!("UPDATE sealbus.log_roots SET note = '{note}' WHERE size = {SIZE}")).await;
}

#[tokio::test]
async fn row_16_two_anchored_checkpoints_one_size_two_roots() {
    let scene = Scene::start().await;
    let other = Checkpoint::new(ORIGIN, SIZE, Hash::of(b"another history")).unwrap();
    scene.anchors().keep(&scene.log.sign(&other, now()).unwrap()).await.unwrap();
    scene.expect(&[("SPLIT_VIEW", &format!("size {SIZE}"))]);
    assert_eq!(
        scene.anchors().notes(true).await.unwrap().len(),
        3,
        "the anchor does not hold both notes and the first one of the log"
    );
}

#[tokio::test]
async fn row_25_tile_byte_flipped() {
    let scene = Scene::start().await;
    scene.tamper("UPDATE sealbus.tiles SET hashes = set_byte(hashes, 70, 255 - get_byte(hashes, 70))").await;
    scene.expect(&[("TILE", &format!("tile/0/000.p/{SIZE}"))]);
}

#[tokio::test]
async fn row_25_tile_gone() {
    let scene = Scene::start().await;
    scene.tamper("DELETE FROM sealbus.tiles").await;
    scene.expect(&[("TILE", &format!("tile/0/000.p/{SIZE}"))]);
}

#[tokio::test]
async fn row_26_proof_with_a_node_too_many_too_few_of_wrong_length() {
    let scene = Scene::start().await;
    let (bundle, trust) = (scene.path("bundle").display().to_string(), scene.path("trust").display().to_string());
    let export = ["export", "--plan", "order-2", "--tenant", "acme", "--out", &bundle];
    assert!(scene.sealbus(&export).status().unwrap().success());
    assert!(scene.sealbus(&["trust", "--out", &trust]).status().unwrap().success());
    let events = scene.path("bundle/events.jsonl");
    let whole = std::fs::read_to_string(&events).unwrap();
    let verify = || findings_of(&mut scene.sealbus(&["verify", "--bundle", &bundle, "--trust", &trust, "-o", "json"]));
    let tail = ("UNANCHORED".to_owned(), "acme/order-2/4".to_owned());
    assert_eq!(verify(), (vec![tail.clone()], 4));

    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let more = |proof: &str| proof.replacen("\n\n", &format!("\n{hash}\n"), 1);
    let fewer = |proof: &str| {
        let (before, note) = proof.split_once("\n\n").unwrap();
        format!("{}\n\n{note}", before.rsplit_once('\n').unwrap().0)
    };
    let longer = |proof: &str| proof.replacen("=\n\n", "AAAA=\n\n", 1);
    for change in [&more as &dyn Fn(&str) -> String, &fewer, &longer] {
        let changed = whole.lines().map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            if record["plan"] == "order-2" && record["seq"] == 2 {
                let proof = record["proof"].as_str().unwrap();
                assert_ne!(change(proof), proof);
                record["proof"] = change(proof).into();
            }
            format!("{record}\n")
        });
        std::fs::write(&events, changed.collect::<String>()).unwrap();
        assert_eq!(verify(), (vec![("PROOF".to_owned(), "acme/order-2/2".to_owned()), tail.clone()], 3));
    }
}

#[tokio::test]
async fn row_27_checkpoint_with_wrong_origin_leading_zero_only_unknown_keys() {
    let scene = Scene::start().await;
    let (note, checkpoint) = newest(&scene).await;
    let (text, root) = (note.to_string(), checkpoint.root());
    store_checkpoint(&scene, &text.replacen(&format!("\n{SIZE}\n"), &format!("\n0{SIZE}\n"), 1)).await;
    scene.expect(&[("CHECKPOINT", "checkpoint")]);
    store_checkpoint(&scene, &text.replacen(ORIGIN, "test.example/other", 1)).await;
    scene.expect(&[("CHECKPOINT", "checkpoint")]);
    let unknown = unknown_log_key().sign(&Checkpoint::new(ORIGIN, SIZE, root).unwrap(), now()).unwrap();
    store_checkpoint(&scene, &unknown.to_string()).await;
    scene.expect(&[("CHECKPOINT", "checkpoint")]);
    // A signature of an unknown key in addition to the log's own is ignored.
    let unknown = unknown.to_string().split_once("\n\n").unwrap().1.to_owned();
    store_checkpoint(&scene, &format!("{text}{unknown}")).await;
    scene.expect(&[]);
}

#[tokio::test]
async fn row_28_fewer_cosignatures_than_the_quorum_or_an_old_heartbeat() {
    let mut scene = Scene::start().await;
    let seed: Vec<u8> = (150..182).collect();
    let witness = Keyring::generate(KeyKind::Witness, seed.as_slice().try_into().unwrap()).unwrap();
    let witness = WitnessSigner::new(&Keyring::parse(&witness).unwrap(), "witness.test/one").unwrap();
    let logs = Policy::of_keyring(ORIGIN, &Scene::keyring(KeyKind::Ed25519)).unwrap();
    let policy = logs.replace("quorum none", &format!("witness one {}\nquorum one", witness.verifier_key()));
    std::fs::write(scene.path("policy"), policy).unwrap();
    scene.expect(&[("QUORUM", &format!("size {SIZE}"))]);
    let (note, checkpoint) = newest(&scene).await;
    let cosignature = witness.cosign(&checkpoint, now()).to_string();
    let cosigned = note.with_cosignatures(&cosignature, &[witness.verifier_key()]).unwrap();
    scene.anchors().keep(&cosigned).await.unwrap();
    scene.expect(&[]);

    // The newest heartbeat is half a minute old.
    std::fs::remove_file(scene.path("policy")).unwrap();
    let old = scene.log.sign(&checkpoint, now() - 30).unwrap();
    scene.anchor_only(&old).await;
    scene.expect(&[]);
    scene.arguments = ["--max-age", "10s"].map(str::to_owned).to_vec();
    scene.expect(&[("STALE", &format!("size {SIZE}"))]);
}

#[tokio::test]
async fn row_29_two_sealers_at_once() {
    let scene = Scene::start().await;
    let keyring = Scene::keyring(KeyKind::Ed25519);
    let events: Vec<_> = (0..200).map(|n| ("test.happened", format!("{{\"n\":{n}}}"))).collect();
    scene.append(&keyring, "acme", "order-7", &events).await;
    let anchored = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap();
    let seal = async || {
        let (mut leaves, mut last) = (0, None);
        while scene.ledger.log().count_unsealed().await.unwrap() > 0 {
            let signing = Signing { signer: &scene.log, anchored: &anchored, time: now() };
            let sealed = scene.ledger.log().seal_batch(7, &mut SealingState::default(), Some(signing)).await.unwrap();
            leaves += sealed.leaves;
            last = sealed.note.or(last);
        }
        (leaves, last)
    };
    let ((one, note), (other, another)) = tokio::join!(seal(), seal());
    assert_eq!(one + other, 202, "two sealers together did not give each event one leaf");
    for note in [note, another].into_iter().flatten() {
        scene.anchors().keep(&note).await.unwrap();
    }
    scene.expect_only(&[]);
}
