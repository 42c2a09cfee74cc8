//! Options of `sealbus verify` (scope, `--since`, `--resume`, `--wait`), and `sealbus inspect`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::seal::KeyKind;
use sealbus_sealer::anchors::Anchor as _;
use serde_json::{Value, json};

use crate::scene::{SIZE, Scene, UNTOUCHED, findings_of, row_at};

fn owned(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect()
}

fn verify(scene: &Scene, arguments: &[&str]) -> (Vec<(String, String)>, i32) {
    findings_of(&mut scene.sealbus(&[&["verify", "-o", "json"], arguments].concat()))
}

async fn newest_note(scene: &Scene) -> Vec<u8> {
    scene.anchors().notes(true).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn verify_is_limited_to_a_plan_or_a_tenant() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", "actor = 'somebody'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("other/order-1/2"))).await;
    let of_order_1 = owned(&[("EVENT_HASH", "acme/order-1/2"), ("UNANCHORED", "acme/order-1/5")]);
    assert_eq!(verify(&scene, &["--plan", "order-1", "--tenant", "acme"]), (of_order_1, 3));
    assert_eq!(verify(&scene, &["--plan", "order-3", "--tenant", "acme"]), (vec![], 0));
    assert_eq!(verify(&scene, &["--tenant", "other"]), (owned(&[("MISSING_LEAF", "other/order-1/2")]), 3));
    // Delete a row in the table of leaves. The plan of the leaf is then unknown, so every scope reports it.
    scene.tamper(&format!("DELETE FROM sealbus.log_leaves WHERE {}", row_at("other/order-1/2"))).await;
    assert_eq!(verify(&scene, &["--tenant", "other"]), (owned(&[("MISSING_LEAF", "leaf 6")]), 3));
    let also = owned(&[("MISSING_LEAF", "leaf 6")]);
    assert_eq!(verify(&scene, &["--plan", "order-3", "--tenant", "acme"]), (also, 3));
    // The plan of keys is always verified, because a seal depends on its key.
    scene.change("_system/_keys/2", "actor = 'somebody'").await;
    assert_eq!(
        verify(&scene, &["--plan", "order-2", "--tenant", "acme"]),
        (owned(&[("EVENT_HASH", "_system/_keys/2"), ("MISSING_LEAF", "leaf 6"), ("UNANCHORED", "acme/order-2/4")]), 3)
    );
}

#[tokio::test]
async fn since_reads_only_later_events() {
    let scene = Scene::start().await;
    std::fs::write(scene.path("since"), newest_note(&scene).await).unwrap();
    let since = scene.path("since").display().to_string();
    let events: Vec<_> = (0..3).map(|n| ("test.happened", format!("{{\"n\":{n}}}"))).collect();
    scene.append(&Scene::keyring(KeyKind::Ed25519), "acme", "order-8", &events).await;
    scene.seal_and_anchor().await;
    let arguments = ["verify", "--all", "--since", &since, "-o", "json"];
    let output = scene.sealbus(&arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &report["events"], &report["plans"]),
        (Some(0), &json!(5), &json!(3)),
        "{report}"
    );
    assert_eq!(report["vouched"]["log_index"], SIZE + 4);

    // The predecessor of the first new event must be the one in the log. Earlier events are not read.
    scene.change("acme/order-1/1", "actor = 'somebody'").await;
    assert_eq!(verify(&scene, &["--all", "--since", &since]), (vec![], 0));
    scene.change("acme/order-1/4", "actor = 'somebody'").await;
    scene.change("acme/order-8/2", "payload = '{}'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("acme/order-8/3"))).await;
    let found =
        [("EVENT_HASH", "acme/order-1/4"), ("MISSING_LEAF", "acme/order-8/3"), ("PAYLOAD_HASH", "acme/order-8/2")];
    assert_eq!(verify(&scene, &["--all", "--since", &since]), (owned(&found), 3));

    // A log that does not continue the checkpoint is inconsistent.
    let mut log = scene.sealed().await;
    log.swap(2, 3);
    let note = scene.rebuild_log(&log).await;
    scene.anchor_only(&note).await;
    let (found, code) = verify(&scene, &["--all", "--since", &since]);
    assert!(found.contains(&("INCONSISTENT".to_owned(), format!("size {SIZE}"))) && code == 3, "{found:?}");
    std::fs::write(scene.path("since"), "no note").unwrap();
    let refused = scene.sealbus(&arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn an_interrupted_verification_is_resumed() {
    let scene = Scene::start().await;
    let path = scene.path("resume");
    let arguments = ["--all", "--resume", path.to_str().unwrap()];
    // The state after the plan of keys and order-2: leaves 0 to 4 are claimed.
    let state = |scope: &str| {
        json!({
            "scope": scope, "since": 0, "size": SIZE, "claims": STANDARD.encode(0b1_1111_u64.to_le_bytes()),
            "checkpoint": String::from_utf8(std::fs::read(scene.path("note")).unwrap()).unwrap(),
            "done": {
                "through": ["acme", "order-2"], "events": 6, "plans": 2, "sealed": 5, "unchecked": 0, "later": 0,
                "findings": [{"verdict": "UNANCHORED", "tenant": "acme", "plan": "order-2", "seq": 4, "detail": ""}],
            },
        })
        .to_string()
    };
    std::fs::write(scene.path("note"), newest_note(&scene).await).unwrap();
    std::fs::write(&path, state("Everything")).unwrap();
    // Verified plans are not verified again, and new leaves are left to the next verification.
    scene.change("acme/order-2/1", "actor = 'somebody'").await;
    scene.change("acme/order-1/1", "actor = 'somebody'").await;
    scene.seal_and_anchor().await;
    let found = [("EVENT_HASH", "acme/order-1/1"), UNTOUCHED[0], UNTOUCHED[1]];
    assert_eq!(verify(&scene, &arguments), (owned(&found), 3));
    assert!(!path.exists(), "the progress file was not removed at the end");
    let found = [("EVENT_HASH", "acme/order-1/1"), ("EVENT_HASH", "acme/order-2/1")];
    assert_eq!(verify(&scene, &arguments), (owned(&found), 3));
    // A file of another scope is refused.
    std::fs::write(&path, state("another")).unwrap();
    let refused = scene.sealbus(&[&["verify"], arguments.as_slice()].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("with other options"), "{said}");
}

#[tokio::test]
async fn wait_waits_until_present_events_are_anchored() {
    let scene = Scene::start().await;
    let waiting = scene.sealbus(&["verify", "--all", "--wait"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    scene.seal_and_anchor().await;
    let ended = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("no findings; vouched for up to log index 14"), "{said}");
}

#[tokio::test]
async fn without_an_anchor_nothing_is_vouched_for() {
    let scene = Scene::start().await;
    let refused = scene.sealbus(&["verify", "--all"]).env_remove("SEALBUS_ANCHORS").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("no anchor is configured"), "{said}");
}

#[tokio::test]
async fn inspect_prints_one_event_with_proof_and_verdict() {
    let scene = Scene::start().await;
    let inspect = |id: &str| {
        let output = scene.sealbus(&["inspect", id, "--tenant", "acme", "-o", "json"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")),
            output.status.code(),
        )
    };
    let id = async |place: &str| scene.record(place).await.header.event_id.to_string();
    let (second, tail) = (id("acme/order-1/2").await, id("acme/order-1/5").await);
    let (shown, code) = inspect(&second);
    assert_eq!((&shown["verdict"], &shown["event"]["seq"], code), (&json!("ok"), &json!(2), Some(0)));
    assert!(shown["sealed_after"].is_string() && shown["seen_by"].is_string(), "{shown}");
    let proof = sealbus_core::log::proof::EventProof::parse(shown["proof"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(proof.leaf, scene.record("acme/order-1/2").await.leaf());
    let (shown, code) = inspect(&tail);
    assert_eq!((&shown["verdict"], &shown["proof"], code), (&json!("UNANCHORED"), &json!(null), Some(4)));
    scene.change("acme/order-1/2", "payload = '{}'").await;
    let (shown, code) = inspect(&second);
    assert_eq!((&shown["verdict"], code), (&json!("PAYLOAD_HASH"), Some(3)));
    // The table for people.
    let output = scene.sealbus(&["inspect", &second, "--tenant", "acme"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for line in ["place        acme/order-1/2", "verdict      PAYLOAD_HASH", "c2sp.org/tlog-proof@v1"] {
        assert!(said.contains(line), "{said}");
    }
}
