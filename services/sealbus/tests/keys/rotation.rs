//! Rotating to the next key.

use std::fs;

use sealbus_runtime::files::load_keyring;
use sealbus_testkit::{Postgres, eventually};

use crate::support::{self, Bus, Load, client, load};
use crate::{active, expect, keyring_file, listed, new_key, restart};

/// A complete rotation on a bus under load, as docs/operations/keys.md describes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_under_load_and_retired() {
    let mut bus = Bus::start().await;
    // Signers are counted by leases, which must be longer than any pause of a busy machine.
    bus.set("SEALBUS_LEASE", "15s");
    let old = active(&bus);
    let new = new_key(&bus, "ed25519").await;
    assert_eq!(active(&bus), old, "the new key is active before the rotation");
    let mut roles = bus.all_roles().await;
    let load = Load::start(client(&roles), 4);
    eventually("some is stored", async || bus.count("SELECT count(*) FROM sealbus.events").await > 120).await;

    let printed = expect(&bus, &["keys", "rotate", &new, "--actor", "ada"], 0, "counts from log index").await;
    assert!(printed.contains(&format!("sealbus keys retire {old}")), "{printed}");
    assert_eq!(active(&bus), new);
    let before = keyring_file(&bus).with_file_name("old.json");
    fs::write(&before, fs::read_to_string(keyring_file(&bus)).unwrap()).unwrap();
    expect(&bus, &["keys", "rotate", &new], 0, "counts from log index").await;
    assert_eq!(
        bus.count("SELECT count(*) FROM sealbus.events WHERE type = 'key.added'").await,
        2,
        "a repeated rotation added the key again"
    );
    expect(&bus, &["keys", "retire", &new], 2, "is the active signing key").await;
    expect(&bus, &["keys", "retire", &old, "--wait", "100ms"], 1, "2 processes still sign with").await;
    assert_eq!(listed(&bus, &old).await["replicas"], 2);
    restart(&bus, &mut roles, "publisher").await;
    let by_new = format!("SELECT count(*) FROM sealbus.events WHERE kid = '{new}' AND tenant = 'test'");
    eventually("the new key signs", async || bus.count(&by_new).await > 0).await;
    let acknowledged = load.end().await;

    expect(&bus, &["keys", "retire", &old, "--actor", "ada"], 0, "and not from there on").await;
    expect(&bus, &["keys", "retire", &old], 0, "and not from there on").await;
    let by_ada = "SELECT count(*) FROM sealbus.events WHERE type LIKE 'key.%' AND actor = 'ada' AND metadata::text = '{\"sealbus\":{\"auth\":\"none\"}}'";
    assert_eq!(bus.count(by_ada).await, 2);
    bus.expect_delivered(&acknowledged).await;
    let row = listed(&bus, &old).await;
    assert_eq!((&row["status"], &row["ledger"], &row["replicas"]), (&"retired".into(), &"retired".into(), &0.into()));
    assert_eq!(row["until"], bus.count("SELECT l.leaf_index FROM sealbus.events e JOIN sealbus.log_leaves l USING (plan_no, seq) WHERE type = 'key.retired'").await);
    assert_eq!(listed(&bus, &new).await["signs"], true);
    expect(&bus, &["keys", "rotate", &old], 2, "is ended and cannot sign again").await;

    // A publisher that is started with the old keyring is refused.
    let mut forgotten = fs::read_to_string(keyring_file(&bus)).unwrap();
    for (kid, from, to) in [(&old, "retired", "active"), (&new, "active", "retired")] {
        let at = forgotten.find(kid.as_str()).unwrap();
        let status = at + forgotten[at..].find(from).unwrap();
        forgotten.replace_range(status..status + from.len(), to);
    }
    fs::write(&before, forgotten).unwrap();
    bus.set("SEALBUS_KEYRING", &before.display().to_string());
    let printed = expect(&bus, &["publisher"], 1, "is retired and may not sign").await;
    assert!(printed.contains("start it again"), "{printed}");
}

/// The same command resumes a rotation that was interrupted at any step.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_is_resumed() {
    let bus = Bus::start().await;
    let old = active(&bus);
    let new = new_key(&bus, "ed25519").await;
    // Interrupt the rotation while it waits for the log, because no sealer runs.
    expect(&bus, &["keys", "rotate", &new, "--wait", "100ms"], 1, "run the same command again").await;
    assert_eq!((active(&bus), bus.count("SELECT count(*) FROM sealbus.events").await), (old.clone(), 2));
    assert_eq!(bus.count(&format!("SELECT count(*) FROM sealbus.signing_keys WHERE kid = '{new}'")).await, 0);
    expect(&bus, &["keys", "rotate", &new, "--wait", "100ms"], 1, "run the same command again").await;
    let sealer = bus.role("sealer").await;
    expect(&bus, &["keys", "rotate", &new], 0, "is active in the keyring").await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.events").await, 2, "the key was added twice");

    // Interrupt the rotation before the keyring is changed, or between two files of a directory.
    let text = fs::read_to_string(keyring_file(&bus)).unwrap();
    let with_old_key = |status: &str| {
        let at = text.find(&old).unwrap();
        let mut text = text.clone();
        let place = at + text[at..].find("retired").unwrap();
        text.replace_range(place..place + "retired".len(), status);
        text
    };
    fs::write(keyring_file(&bus), with_old_key("active")).unwrap();
    assert!(
        load_keyring(&keyring_file(&bus)).unwrap().signer().is_err(),
        "a keyring with two active signing keys is accepted"
    );
    expect(&bus, &["keys", "rotate", &new], 0, &format!("{old} is retired now")).await;
    assert_eq!(fs::read_to_string(keyring_file(&bus)).unwrap(), text);
    drop(sealer);
}

/// A dispatcher without the next key delivers nothing that it cannot check, and everything once it has the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_without_the_new_key_loses_nothing() {
    let bus = Bus::start().await;
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "sealer", "dispatcher"] {
        roles.push(bus.role(name).await);
    }
    let new = new_key(&bus, "ed25519").await;
    expect(&bus, &["keys", "rotate", &new], 0, "is active in the keyring").await;
    restart(&bus, &mut roles, "publisher").await;
    let acknowledged = load(&client(&roles), 3, 3).await;
    let waiting = "SELECT count(*) FROM sealbus.positions WHERE state = 'parked'";
    eventually("its plans wait", async || bus.count(waiting).await >= 3).await;
    restart(&bus, &mut roles, "dispatcher").await;
    bus.expect_delivered(&acknowledged).await;
}

/// An Ed25519 key can replace an HMAC key, but not the other way.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_can_replace_macs_but_not_the_other_way() {
    let hmac = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.json");
        let made = tokio::process::Command::new(support::SEALBUS)
            .args(["keys", "new", "--kind", "hmac", "--out", &path.display().to_string()])
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(path).unwrap()
    };
    let bus = Bus::with_keyring(Postgres::own_cluster().await, &hmac, &["log"]).await;
    let old = active(&bus);
    assert!(old.starts_with("hmac-"));
    let second = new_key(&bus, "hmac").await;
    let new = new_key(&bus, "ed25519").await;
    let mut roles = vec![bus.role("sealer").await, bus.role("publisher").await];
    load(&client(&roles), 2, 2).await;
    expect(&bus, &["keys", "rotate", &new], 0, "is active in the keyring").await;
    expect(&bus, &["keys", "rotate", &second], 2, "a plan's suite never falls").await;
    expect(&bus, &["keys", "new", "--kind", "hmac"], 2, "a plan's suite never falls").await;
    restart(&bus, &mut roles, "publisher").await;
    load(&client(&roles), 2, 2).await;
    expect(&bus, &["keys", "retire", &old], 0, "and not from there on").await;
    expect(&bus, &["verify", "--all", "--wait"], 0, "no findings").await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.events WHERE tenant = 'test'").await, 8);
}
