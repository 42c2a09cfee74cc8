//! An exported bundle is verified without ledger and secret, by both implementations with the same result.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sealbus_core::verify::bundle::write_record;
use serde_json::Value;

use crate::scene::{SIZE, Scene, findings_of, row_at};

/// The findings of a verification (verdict and place), and its exit code.
type Outcome = (Vec<(String, String)>, i32);

/// Exports a bundle, and returns its path.
pub(crate) fn export(scene: &Scene, scope: &[&str], name: &str) -> String {
    let out = scene.path(name).display().to_string();
    let output = scene.sealbus(&[&["export", "--out", &out], scope].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

/// Writes what a verifier pins, and returns the folder.
pub(crate) fn trust(scene: &Scene) -> String {
    let out = scene.path("trust").display().to_string();
    assert!(scene.sealbus(&["trust", "--out", &out]).output().unwrap().status.success());
    out
}

/// Returns the commands that verify a bundle with each implementation. Without Python, there is only the first one.
pub(crate) fn both(scene: &Scene, bundle: &str, trust: &str, more: &[&str]) -> Vec<Command> {
    let arguments = [&["--bundle", bundle], ["--trust", trust].as_slice(), more, &["-o", "json"]].concat();
    // The verifier has no setting of the deployment.
    let mut first = scene.sealbus(&[&["verify"], arguments.as_slice()].concat());
    first.env_clear();
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: python3 is not installed");
        return vec![first];
    }
    let mut second = Command::new("python3");
    second.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/verify/verify.py"));
    second.args([&[bundle], &arguments[2..]].concat());
    vec![first, second]
}

/// Verifies a bundle with both implementations, which must agree.
pub(crate) fn verify(scene: &Scene, bundle: &str, trust: &str, more: &[&str]) -> Outcome {
    let mut outcomes: Vec<_> = both(scene, bundle, trust, more).iter_mut().map(findings_of).collect();
    let first = outcomes.remove(0);
    assert!(outcomes.iter().all(|second| *second == first), "the implementations disagree: {first:?}, {outcomes:?}");
    first
}

fn owned(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect()
}

#[tokio::test]
async fn a_bundle_of_the_whole_log_is_verified_as_folder_and_as_tar() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let clean = owned(&crate::scene::UNTOUCHED);
    for name in ["bundle", "bundle.tar"] {
        let bundle = export(&scene, &["--all"], name);
        assert_eq!(verify(&scene, &bundle, &trust, &[]), (clean.clone(), 4));
        let again = scene.sealbus(&["export", "--all", "--out", &bundle]).output().unwrap();
        assert_eq!(again.status.code(), Some(2), "an existing bundle was overwritten");
    }
    assert!(!std::fs::read_to_string(format!("{trust}/keyring.json")).unwrap().contains("secret"));
    scene.change("acme/order-1/2", "payload = '{}'").await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("acme/order-3/2"))).await;
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
async fn a_bundle_of_some_plans_is_verified_by_proofs() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let bundle = export(&scene, &["--plan", "order-3", "--tenant", "acme"], "plan");
    assert!(!scene.path("plan/tile").exists(), "a bundle of some plans contains tiles");
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (vec![], 0));
    let bundle = export(&scene, &["--tenant", "acme"], "tenant.tar");
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (owned(&crate::scene::UNTOUCHED), 4));
}

/// A bundle holds payloads. The mode does not depend on the umask, nor on a file that an interrupted export left.
#[tokio::test]
async fn only_its_owner_can_read_a_bundle() {
    fn modes(path: &Path) -> Vec<(String, u32)> {
        let mut found = vec![(path.display().to_string(), path.metadata().unwrap().permissions().mode() & 0o777)];
        if path.is_dir() {
            found.extend(std::fs::read_dir(path).unwrap().flat_map(|entry| modes(&entry.unwrap().path())));
        }
        found
    }
    let scene = Scene::start().await;
    std::fs::write(scene.path(".bundle.tar.part"), "left").unwrap();
    for bundle in ["bundle", "bundle.tar"] {
        let found = modes(Path::new(&export(&scene, &["--all"], bundle)));
        assert!(found.iter().all(|(_, mode)| [0o600, 0o700].contains(mode)), "{found:?}");
    }
    let mut tar = tar::Archive::new(std::fs::File::open(scene.path("bundle.tar")).unwrap());
    for entry in tar.entries().unwrap() {
        assert_eq!(entry.unwrap().header().mode().unwrap(), 0o600);
    }
}

#[tokio::test]
async fn a_bundle_without_events_is_an_error() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let bundle = export(&scene, &["--tenant", "acme"], "bundle");
    std::fs::write(scene.path("bundle/events.jsonl"), "").unwrap();
    for mut verify in both(&scene, &bundle, &trust, &[]) {
        let output = verify.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("nothing to verify"), "{said}");
    }
    // The tiles of a whole log show that events are missing.
    let bundle = export(&scene, &["--all"], "whole");
    std::fs::write(scene.path("whole/events.jsonl"), "").unwrap();
    let (found, code) = verify(&scene, &bundle, &trust, &[]);
    assert_eq!((found.len() as u64, code), (SIZE, 3), "{found:?}");
}

#[tokio::test]
async fn a_receipt_finds_a_dropped_event() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let tail = "acme/order-1/5";
    std::fs::write(scene.path("receipt"), write_record(&scene.record(tail).await, None)).unwrap();
    let receipt = scene.path("receipt").display().to_string();
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at(tail))).await;
    let bundle = export(&scene, &["--all"], "bundle");
    assert_eq!(verify(&scene, &bundle, &trust, &[]).0, owned(&[("UNANCHORED", "acme/order-2/4")]));
    let found = [("MISSING", tail), ("UNANCHORED", "acme/order-2/4")];
    assert_eq!(verify(&scene, &bundle, &trust, &["--receipt", &receipt]), (owned(&found), 3));
}

#[tokio::test]
async fn macs_are_counted_without_the_secret_and_checked_with_it() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    scene.change("acme/order-2/2", "mac = set_bit(mac, 3, 1 - get_bit(mac, 3))").await;
    let bundle = export(&scene, &["--plan", "order-2", "--tenant", "acme"], "bundle");
    let arguments = ["verify", "--bundle", &bundle, "--trust", &trust, "-o", "json"];
    let output = scene.sealbus(&arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The flipped bit is still found, because the leaf contains the MAC.
    assert_eq!(report["unchecked"], 6, "four MACs of the plan and two of the plan of keys: {report}");
    std::fs::copy(scene.path("keyring.json"), scene.path("trust/keyring.json")).unwrap();
    let found = [("MAC", "acme/order-2/2"), ("UNANCHORED", "acme/order-2/4")];
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (owned(&found), 3));
}
