//! How verify is asked: of a part, since a checkpoint, going on where it was interrupted, waiting, of one event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::seal::KeyKind;
use sealbus_sealer::anchors::Anchor as _;
use serde_json::{Value, json};

use crate::scene::{SIZE, Scene, UNTOUCHED, at, told};

fn owned(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect()
}

fn ask(scene: &Scene, arguments: &[&str]) -> (Vec<(String, String)>, i32) {
    told(&mut scene.sealbus(&[&["verify", "-o", "json"], arguments].concat()))
}

async fn newest_note(scene: &Scene) -> Vec<u8> {
    scene.anchors().notes(true).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_plan_or_a_tenant_alone() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", "actor = 'somebody'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", at("other/order-1/2"))).await;
    let of_order_1 = owned(&[("EVENT_HASH", "acme/order-1/2"), ("UNANCHORED", "acme/order-1/5")]);
    assert_eq!(ask(&scene, &["--plan", "order-1", "--tenant", "acme"]), (of_order_1, 3));
    assert_eq!(ask(&scene, &["--plan", "order-3", "--tenant", "acme"]), (vec![], 0));
    assert_eq!(ask(&scene, &["--tenant", "other"]), (owned(&[("MISSING_LEAF", "other/order-1/2")]), 3));
    // With its row in the table of leaves: whose it was, nobody can tell, and so everybody is told.
    scene.tamper(&format!("DELETE FROM sealbus.log_leaves WHERE {}", at("other/order-1/2"))).await;
    assert_eq!(ask(&scene, &["--tenant", "other"]), (owned(&[("MISSING_LEAF", "leaf 6")]), 3));
    let also = owned(&[("MISSING_LEAF", "leaf 6")]);
    assert_eq!(ask(&scene, &["--plan", "order-3", "--tenant", "acme"]), (also, 3));
    // A seal is worth what its key is.
    scene.change("_system/_keys/2", "actor = 'somebody'").await;
    assert_eq!(
        ask(&scene, &["--plan", "order-2", "--tenant", "acme"]),
        (owned(&[("EVENT_HASH", "_system/_keys/2"), ("MISSING_LEAF", "leaf 6"), ("UNANCHORED", "acme/order-2/4")]), 3)
    );
}

#[tokio::test]
async fn only_what_came_since_a_checkpoint() {
    let scene = Scene::start().await;
    std::fs::write(scene.path("since"), newest_note(&scene).await).unwrap();
    let since = scene.path("since").display().to_string();
    let told: Vec<_> = (0..3).map(|n| ("test.happened", format!("{{\"n\":{n}}}"))).collect();
    scene.append(&Scene::keyring(KeyKind::Ed25519), "acme", "order-8", &told).await;
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

    // The event before the first new one has to be the one in the log; what lies further back is not looked at.
    scene.change("acme/order-1/1", "actor = 'somebody'").await;
    assert_eq!(ask(&scene, &["--all", "--since", &since]), (vec![], 0));
    scene.change("acme/order-1/4", "actor = 'somebody'").await;
    scene.change("acme/order-8/2", "payload = '{}'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", at("acme/order-8/3"))).await;
    let found =
        [("EVENT_HASH", "acme/order-1/4"), ("MISSING_LEAF", "acme/order-8/3"), ("PAYLOAD_HASH", "acme/order-8/2")];
    assert_eq!(ask(&scene, &["--all", "--since", &since]), (owned(&found), 3));

    // A log that does not continue it is another.
    let mut log = scene.sealed().await;
    log.swap(2, 3);
    let note = scene.log_anew(&log).await;
    scene.anchor_only(&note).await;
    let (found, code) = ask(&scene, &["--all", "--since", &since]);
    assert!(found.contains(&("INCONSISTENT".to_owned(), format!("size {SIZE}"))) && code == 3, "{found:?}");
    std::fs::write(scene.path("since"), "no note").unwrap();
    let refused = scene.sealbus(&arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn an_interrupted_verification_goes_on() {
    let scene = Scene::start().await;
    let path = scene.path("resume");
    let arguments = ["--all", "--resume", path.to_str().unwrap()];
    // As it was after the plan of keys and order-2: leaves 0 to 4 are claimed.
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
    // What was done is not done again, and what came meanwhile is left to the next.
    scene.change("acme/order-2/1", "actor = 'somebody'").await;
    scene.change("acme/order-1/1", "actor = 'somebody'").await;
    scene.seal_and_anchor().await;
    let found = [("EVENT_HASH", "acme/order-1/1"), UNTOUCHED[0], UNTOUCHED[1]];
    assert_eq!(ask(&scene, &arguments), (owned(&found), 3));
    assert!(!path.exists(), "there is nothing left to go on from");
    let found = [("EVENT_HASH", "acme/order-1/1"), ("EVENT_HASH", "acme/order-2/1")];
    assert_eq!(ask(&scene, &arguments), (owned(&found), 3));
    // It answers the question that was asked then.
    std::fs::write(&path, state("another")).unwrap();
    let refused = scene.sealbus(&[&["verify"], arguments.as_slice()].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("with other options"), "{said}");
}

#[tokio::test]
async fn waiting_until_what_stands_is_anchored() {
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
async fn one_event_is_inspected() {
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
    // For a person.
    let output = scene.sealbus(&["inspect", &second, "--tenant", "acme"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for line in ["place        acme/order-1/2", "verdict      PAYLOAD_HASH", "c2sp.org/tlog-proof@v1"] {
        assert!(said.contains(line), "{said}");
    }
}
