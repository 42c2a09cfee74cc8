//! Keys are created, rotated under load, retired and revoked by real processes. No published event is lost or becomes invalid.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;
use sealbus_core::seal::{KeyId, KeyKind, Keyring, KeyringText, Status};
use sealbus_runtime::files::load_keyring;
use sealbus_testkit::process::send_signal;
use sealbus_testkit::{Postgres, eventually};
use serde_json::Value;

use crate::support::{Bus, Load, Role, client, load};

fn keyring_file(bus: &Bus) -> PathBuf {
    bus.folder.path().join("keyring.json")
}

/// Returns the id of the active signing key.
fn active(bus: &Bus) -> String {
    load_keyring(&keyring_file(bus)).unwrap().signer().unwrap().kid().to_string()
}

/// Runs `keys new`, and returns the id of the key.
async fn new_key(bus: &Bus, kind: &str) -> String {
    let output = bus.command(&["keys", "new", "--kind", kind]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Runs a command, and expects its exit code and a text in its output.
async fn expect(bus: &Bus, arguments: &[&str], status: i32, message: &str) -> String {
    let (ended, printed) = bus.run(arguments).await;
    assert_eq!(ended, status, "{arguments:?}: {printed}");
    assert!(printed.contains(message), "{arguments:?}: {printed}");
    printed
}

/// Returns the row of `keys list` for a key.
async fn listed(bus: &Bus, kid: &str) -> Value {
    let output = bus.command(&["keys", "list", "-o", "json"]).output().await.unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().find(|row| row["id"] == *kid).unwrap()
}

/// Kills and starts all processes of a role.
async fn restart(bus: &Bus, roles: &mut [Role], name: &str) {
    for role in roles.iter_mut().filter(|role| role.name == name) {
        role.kill().await;
        role.start(bus).await;
    }
}

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

/// A publisher whose key is revoked is refused from that moment on. It loses nothing, and continues with the next key.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_immediately() {
    let bus = Bus::start().await;
    let old = active(&bus);
    let revoke = ["keys", "revoke", &old, "--reason", "a laptop was stolen"];
    expect(&bus, &revoke, 2, "rotate to it with").await;
    let new = new_key(&bus, "ed25519").await;
    let mut roles = vec![bus.role("sealer").await, bus.role("publisher").await];
    let publisher = client(&roles);
    load(&publisher, 3, 3).await;
    expect(&bus, &["keys", "rotate", &new], 0, "is active in the keyring").await;
    // The publisher still runs with the old key.
    load(&publisher, 3, 3).await;
    expect(&bus, &[&revoke[..], &["--until", "1"]].concat(), 2, "would not trust").await;
    let added = bus.count("SELECT l.leaf_index FROM sealbus.events e JOIN sealbus.log_leaves l USING (plan_no, seq) WHERE type = 'key.added' AND seq = 2").await;
    let until = (added + 1).to_string();
    let printed =
        expect(&bus, &[&revoke[..], &["--until", &until]].concat(), 0, "other verifiers pin this entry").await;
    let pin = printed.lines().find(|line| line.starts_with('{')).unwrap();
    let pin: Value = serde_json::from_str(pin).unwrap();
    assert_eq!(
        (&pin["id"], &pin["status"], &pin["until"]),
        (&old.as_str().into(), &"revoked".into(), &(added + 1).into())
    );

    let publishing = tokio::spawn(async move { load(&publisher, 3, 3).await });
    let answer = publish(&roles[1]).await;
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "ledger_unavailable");
    assert_eq!(problem["ids"].as_array().map(Vec::len), Some(1));
    restart(&bus, &mut roles, "publisher").await;
    publishing.await.unwrap();
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.events WHERE tenant = 'test'").await, 27);
    let keyring = load_keyring(&keyring_file(&bus)).unwrap();
    let held = keyring.keys().find(|key| key.id.as_str() == old).unwrap();
    assert_eq!(
        (held.status, held.pinned.until.map(|until| i64::try_from(until).unwrap())),
        (Status::Revoked, Some(added + 1))
    );
    // Events of the key after the pinned index are invalid.
    let late = bus.count(&format!("SELECT count(*) FROM sealbus.events e JOIN sealbus.log_leaves l USING (plan_no, seq) WHERE kid = '{old}' AND l.leaf_index > {added}")).await;
    let (status, printed) = bus.run(&["verify", "--all", "--wait"]).await;
    assert_eq!((status, printed.matches("KEY_WINDOW").count()), (3, usize::try_from(late).unwrap()), "{printed}");
}

/// A publisher that was paused while its key was retired is refused by the ledger when it continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_paused_while_its_key_was_retired_commits_nothing() {
    let bus = Bus::start().await;
    let old = active(&bus);
    let new = new_key(&bus, "ed25519").await;
    let roles = [bus.role("sealer").await, bus.role("publisher").await];
    load(&client(&roles), 2, 2).await;
    expect(&bus, &["keys", "rotate", &new], 0, "is active in the keyring").await;
    let publisher = roles[1].pid();
    send_signal(publisher, Signal::STOP);
    expect(&bus, &["keys", "retire", &old], 0, "and not from there on").await;
    send_signal(publisher, Signal::CONT);
    let answer = publish(&roles[1]).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.events WHERE tenant = 'test'").await, 4);
    expect(&bus, &["verify", "--all", "--wait"], 0, "no findings").await;
}

/// The log's key is replaced by hand: no command does it, because verifiers need a new policy.
#[tokio::test(flavor = "multi_thread")]
async fn the_logs_key_can_be_replaced_by_hand() {
    let bus = Bus::start().await;
    let mut roles = vec![bus.role("sealer").await, bus.role("publisher").await];
    load(&client(&roles), 2, 2).await;
    expect(&bus, &["verify", "--all", "--wait"], 0, "no findings").await;
    let text = fs::read_to_string(keyring_file(&bus)).unwrap();
    let keyring = Keyring::parse(&text).unwrap();
    let old = keyring.keys().find(|key| key.kind == KeyKind::Log).unwrap().id.clone();
    let new = KeyId::new(new_key(&bus, "log").await);
    roles[0].kill().await;
    let mut text = KeyringText::new(fs::read_to_string(keyring_file(&bus)).unwrap().into()).unwrap();
    assert!(text.set_status(&old, Status::Retired) && text.set_status(&new, Status::Active));
    fs::write(keyring_file(&bus), text.as_str()).unwrap();
    expect(&bus, &["log", "init"], 1, "add --again").await;
    expect(&bus, &["log", "init", "--again"], 0, "is anchored from size 5 on").await;
    roles[0].start(&bus).await;
    load(&client(&roles), 2, 2).await;
    let anchored = "SELECT coalesce(max(size), 0)::bigint FROM sealbus.checkpoints";
    eventually("the later events are anchored", async || bus.count(anchored).await == 9).await;
}

async fn publish(publisher: &Role) -> reqwest::Response {
    let event = serde_json::json!({ "type": "test.happened", "data": 1 });
    let plan = format!("{}/v1/plans/plan-0/events", publisher.url());
    reqwest::Client::new().post(plan).bearer_auth(support::TOKEN).json(&event).send().await.unwrap()
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

/// Commands keep the other keys of a keyring, its mode, and whether it is a file or a directory.
#[tokio::test(flavor = "multi_thread")]
async fn commands_keep_the_form_of_a_keyring() {
    let mut bus = Bus::start().await;
    let path = keyring_file(&bus);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    let id_of = |kind: &str| {
        let keyring = load_keyring(&path).unwrap();
        keyring.keys().find(|key| key.id.as_str().starts_with(kind)).unwrap().id.to_string()
    };
    let first = id_of("kek-");
    let second = new_key(&bus, "kek").await;
    let after = fs::read_to_string(&path).unwrap();
    let kept = before.trim_end().trim_end_matches([' ', '\n', ']', '}']);
    assert!(after.starts_with(kept), "{after}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let status = |kid: &str| {
        let keyring = load_keyring(&path).unwrap();
        keyring.keys().find(|key| key.id.as_str() == kid).unwrap().status
    };
    assert_eq!((status(&first), status(&second)), (Status::Active, Status::Retired));
    expect(&bus, &["keys", "rotate", &second], 0, &format!("{first} is retired now")).await;
    assert_eq!((status(&first), status(&second)), (Status::Retired, Status::Active));
    expect(&bus, &["keys", "revoke", &first, "--reason", "lost"], 0, "there is no event for a key of its kind").await;
    assert_eq!(status(&first), Status::Revoked);
    let log = id_of("log-");
    expect(&bus, &["keys", "rotate", &log], 2, "cannot be rotated by a command").await;
    expect(&bus, &["keys", "rotate", "ed25519-0000000000000000"], 2, "does not contain").await;
    expect(&bus, &["keys", "rotate", "mine"], 2, "a key id is").await;

    let folder = bus.folder.path().join("keys");
    fs::create_dir(&folder).unwrap();
    fs::rename(&path, folder.join("first.json")).unwrap();
    bus.set("SEALBUS_KEYRING", &folder.display().to_string());
    let third = new_key(&bus, "v1").await;
    let file = folder.join(format!("{third}.json"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "a temporary file remains: {names:?}");
    expect(&bus, &["keys", "list"], 0, &third).await;
    let printed = expect(&bus, &["keys", "list", "-o", "json"], 0, &second).await;
    let text = fs::read_to_string(folder.join("first.json")).unwrap();
    let secrets = text.split("\"secret\": \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert!(secrets.into_iter().all(|secret| !printed.contains(secret)), "a secret is printed");
}
