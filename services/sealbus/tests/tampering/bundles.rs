//! Bundles: what is exported verifies without ledger and without secret, by both implementations alike.

use std::path::Path;
use std::process::Command;

use sealbus_core::verify::bundle::write_record;
use serde_json::Value;

use crate::scene::{Scene, at, told};

type Told = (Vec<(String, String)>, i32);

pub(crate) fn export(scene: &Scene, scope: &[&str], name: &str) -> String {
    let out = scene.path(name).display().to_string();
    let output = scene.sealbus(&[&["export", "--out", &out], scope].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

pub(crate) fn trust(scene: &Scene) -> String {
    let out = scene.path("trust").display().to_string();
    assert!(scene.sealbus(&["trust", "--out", &out]).output().unwrap().status.success());
    out
}

/// What both verifiers say of a bundle, which has to be the same; what only one can look at is left out where Python is not here.
fn verify(scene: &Scene, bundle: &str, trust: &str, more: &[&str]) -> Told {
    let arguments = [&["--bundle", bundle], ["--trust", trust].as_slice(), more, &["-o", "json"]].concat();
    // Nothing of the deployment's is at hand.
    let ours = told(scene.sealbus(&[&["verify"], arguments.as_slice()].concat()).env_clear());
    let second = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/verify/verify.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(second).args([&[bundle], &arguments[2..]].concat());
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: python3 is not here");
        return ours;
    }
    assert_eq!(told(&mut python), ours, "both verifiers say the same");
    ours
}

fn owned(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect()
}

#[tokio::test]
async fn the_whole_log_as_a_folder_and_as_a_tar() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let clean = owned(&crate::scene::UNTOUCHED);
    for name in ["bundle", "bundle.tar"] {
        let bundle = export(&scene, &["--all"], name);
        assert_eq!(verify(&scene, &bundle, &trust, &[]), (clean.clone(), 4));
        let again = scene.sealbus(&["export", "--all", "--out", &bundle]).output().unwrap();
        assert_eq!(again.status.code(), Some(2), "evidence is not written over");
    }
    assert!(!std::fs::read_to_string(format!("{trust}/keyring.json")).unwrap().contains("secret"));
    scene.change("acme/order-1/2", "payload = '{}'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", at("acme/order-3/2"))).await;
    let bundle = export(&scene, &["--all"], "tampered.tar");
    let found = [
        ("MISSING_LEAF", "leaf 12"),
        ("PAYLOAD_HASH", "acme/order-1/2"),
        ("UNANCHORED", "acme/order-1/5"),
        ("UNANCHORED", "acme/order-2/4"),
    ];
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (owned(&found), 3));
}

#[tokio::test]
async fn some_plans_with_their_proofs() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let bundle = export(&scene, &["--plan", "order-3", "--tenant", "acme"], "plan");
    assert!(!scene.path("plan/tile").exists(), "a bundle of plans has no tiles");
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (vec![], 0));
    let bundle = export(&scene, &["--tenant", "acme"], "tenant.tar");
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (owned(&crate::scene::UNTOUCHED), 4));
}

#[tokio::test]
async fn a_receipt_tells_what_was_dropped() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let tail = "acme/order-1/5";
    std::fs::write(scene.path("receipt"), write_record(&scene.record(tail).await, None)).unwrap();
    let receipt = scene.path("receipt").display().to_string();
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", at(tail))).await;
    let bundle = export(&scene, &["--all"], "bundle");
    assert_eq!(verify(&scene, &bundle, &trust, &[]).0, owned(&[("UNANCHORED", "acme/order-2/4")]));
    let found = [("MISSING", tail), ("UNANCHORED", "acme/order-2/4")];
    assert_eq!(verify(&scene, &bundle, &trust, &["--receipt", &receipt]), (owned(&found), 3));
}

#[tokio::test]
async fn without_the_secret_macs_are_counted_and_with_it_checked() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    scene.change("acme/order-2/2", "mac = set_bit(mac, 3, 1 - get_bit(mac, 3))").await;
    let bundle = export(&scene, &["--plan", "order-2", "--tenant", "acme"], "bundle");
    let arguments = ["verify", "--bundle", &bundle, "--trust", &trust, "-o", "json"];
    let output = scene.sealbus(&arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The leaf holds the MAC, so that the flipped bit is seen all the same; all MACs are passed over.
    assert_eq!(report["unchecked"], 6, "four of the plan, two of the plan of keys: {report}");
    std::fs::copy(scene.path("keyring.json"), scene.path("trust/keyring.json")).unwrap();
    let found = [("MAC", "acme/order-2/2"), ("UNANCHORED", "acme/order-2/4")];
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (owned(&found), 3));
}
