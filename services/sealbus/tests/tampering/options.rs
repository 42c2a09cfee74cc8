//! Options of `sealbus verify` (scope, `--since`, `--resume`, `--wait`), and `sealbus inspect`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::seal::KeyKind;
use sealbus_sealer::anchors::Anchor as _;
use sealbus_testkit::Nats;
use serde_json::{Value, json};

use crate::scene::{SIZE, Scene, UNTOUCHED, findings_of, row_at, sealed_by, with_payload};

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

/// Runs a command that has to fail with exit code 1. Returns what it says.
fn failure(scene: &Scene, arguments: &[&str]) -> String {
    let output = scene.sealbus(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_plan_or_tenant_without_events_is_an_error() {
    let scene = Scene::start().await;
    let out = scene.path("bundle").display().to_string();
    for (scope, name) in [
        (["--plan", "ordre-1", "--tenant", "acme"].as_slice(), "plan ordre-1 of tenant acme"),
        (&["--plan", "order-3", "--tenant", "other"], "plan order-3 of tenant other"),
        (&["--tenant", "acne"], "tenant acne"),
    ] {
        for command in [&["verify"][..], &["export", "--out", &out]] {
            let said = failure(&scene, &[command, scope].concat());
            assert!(said.contains(&format!("no event of {name}")), "{said}");
        }
        assert!(!scene.path("bundle").exists(), "a bundle without the plan was written");
    }
    // A plan whose row exists and whose events never had a leaf is as empty.
    scene.tamper("INSERT INTO sealbus.plans (tenant, plan, partition) VALUES ('acme', 'empty', 0)").await;
    assert!(failure(&scene, &["verify", "--plan", "empty", "--tenant", "acme"]).contains("no event of plan empty"));
}

#[tokio::test]
async fn a_plan_whose_rows_were_deleted_is_found_in_every_scope() {
    let scene = Scene::start().await;
    scene.tamper("DELETE FROM sealbus.events WHERE tenant = 'other'").await;
    let by_place = owned(&[("MISSING_LEAF", "other/order-1/1"), ("MISSING_LEAF", "other/order-1/2")]);
    assert_eq!(verify(&scene, &["--plan", "order-1", "--tenant", "other"]), (by_place, 3));
    // Without the row of the plan it is not known of which plan the leaves are.
    scene.tamper("DELETE FROM sealbus.plans WHERE tenant = 'other'").await;
    let by_leaf = owned(&[("MISSING_LEAF", "leaf 5"), ("MISSING_LEAF", "leaf 6")]);
    for scope in [
        ["--plan", "order-1", "--tenant", "other"].as_slice(),
        &["--tenant", "other"],
        &["--plan", "order-3", "--tenant", "acme"],
    ] {
        assert_eq!(verify(&scene, scope), (by_leaf.clone(), 3), "{scope:?}");
    }
    // The same holds for a queued event, which has no leaf yet.
    scene
        .tamper("DELETE FROM sealbus.events WHERE plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = 'order-2')")
        .await;
    scene.tamper("DELETE FROM sealbus.plans WHERE plan = 'order-2'").await;
    let (found, _) = verify(&scene, &["--plan", "order-3", "--tenant", "acme"]);
    assert!(found.iter().any(|(verdict, place)| verdict == "MISSING" && place.ends_with("/4")), "{found:?}");
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

    // Seal the predecessor of the first new event again, as someone who has the key can. Its leaf in the log is another.
    let last = scene.record("acme/order-1/4").await;
    scene.put(&sealed_by(&scene.ed25519, with_payload(r#"{"n":44}"#, last))).await;
    let (rewritten, code) = verify(&scene, &["--all", "--since", &since]);
    assert!(
        rewritten.contains(&("LEAF_MISMATCH".to_owned(), "acme/order-1/4".to_owned())) && code == 3,
        "{rewritten:?}"
    );

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
async fn an_anchor_that_is_missing_or_unreadable_is_reported() {
    let scene = Scene::start().await;
    scene.seal_and_anchor().await;
    let nats = Nats::start().await;
    let _broker = nats.connect_with_streams().await;
    let (file, missing) = (scene.path("anchors").display().to_string(), scene.path("elsewhere").display().to_string());
    let run = |anchors: &str, nats: &str, arguments: &[&str]| {
        let mut command = scene.sealbus(arguments);
        command.env("SEALBUS_ANCHORS", anchors).env("SEALBUS_NATS_URL", nats).output().unwrap()
    };
    let states = |output: &std::process::Output| {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let anchors: Vec<_> =
            report["anchors"].as_array().unwrap().iter().map(|anchor| anchor["state"].clone()).collect();
        (anchors, output.status.code())
    };
    let (unreachable, all) = ("nats://127.0.0.1:1", ["verify", "--all", "-o", "json"]);

    // Both are read: the file has all notes, the stream none.
    let read = run(&file, &nats.url(), &all);
    assert_eq!(states(&read), (vec![json!("read"), json!("read")], Some(0)));
    // One of them is not. The events are still compared with the other one.
    let unreadable = run(&file, unreachable, &all);
    assert_eq!(states(&unreadable), (vec![json!("read"), json!("unreadable")], Some(1)));
    let waived = run(&file, unreachable, &[&all[..], &["--allow-missing-anchors"]].concat());
    assert_eq!(states(&waived), (vec![json!("read"), json!("unreadable")], Some(0)));
    let said = run(&file, unreachable, &["verify", "--all"]).stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("anchor stream SEALBUS_CHECKPOINTS: unreadable: "), "{said}");
    assert!(said.contains(&format!("anchor file {file}: 3 notes")), "{said}");
    // A file that does not exist may have been deleted. The stream, which has no note, vouches for nothing.
    let (states_of_missing, code) = states(&run(&missing, &nats.url(), &all));
    assert_eq!((states_of_missing, code), (vec![json!("missing"), json!("read")], Some(3)));
    // Nothing is known about a file that cannot be reached.
    let looping = scene.path("looping").display().to_string();
    std::os::unix::fs::symlink(&looping, &looping).unwrap();
    let (states_of_looping, _) = states(&run(&looping, &nats.url(), &all));
    assert_eq!(states_of_looping, [json!("unreadable"), json!("read")]);

    // Export and inspect depend on the anchors too.
    let out = scene.path("bundle").display().to_string();
    let export = ["export", "--all", "--out", &out];
    let refused = run(&file, unreachable, &export);
    assert!(
        refused.status.code() == Some(1) && !scene.path("bundle").exists(),
        "a bundle lacks the notes of an anchor"
    );
    assert!(run(&file, unreachable, &[&export[..], &["--allow-missing-anchors"]].concat()).status.success());
    let id = scene.record("acme/order-1/2").await.header.event_id.to_string();
    let inspect = ["inspect", &id, "--tenant", "acme"];
    assert_eq!(run(&file, unreachable, &inspect).status.code(), Some(1));
    assert_eq!(run(&file, unreachable, &[&inspect[..], &["--allow-missing-anchors"]].concat()).status.code(), Some(0));
    // A finding is worse than an anchor that is not compared. Without any anchor, nothing is verified.
    scene.change("acme/order-1/2", "payload = '{}'").await;
    assert_eq!(run(&file, unreachable, &all).status.code(), Some(3));
    let refused = run(&missing, unreachable, &all);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && said.contains("no anchor can be read") && said.contains("missing"),
        "{said}"
    );
}

#[tokio::test]
async fn control_characters_of_rows_do_not_reach_the_terminal() {
    let scene = Scene::start().await;
    scene.tamper("UPDATE sealbus.plans SET plan = E'\\x1b[2J\\n\\u009b31m\\u202e' WHERE plan = 'order-3'").await;
    scene.change("acme/order-1/2", "kid = E'\\x1b[31m', type = E'a\\x1b[2J'").await;
    let id = scene
        .ledger
        .history()
        .stored_ids("acme", &[scene.record("acme/order-1/2").await.header.event_id])
        .await
        .unwrap();
    let id = id[0].to_string();
    for arguments in [&["verify", "--all"][..], &["inspect", &id, "--tenant", "acme"]] {
        let output = scene.sealbus(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let acts = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(said.contains('\u{fffd}') && !said.contains(acts), "{said:?}");
    }
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
