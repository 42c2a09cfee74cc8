//! Changes of a keyring, by commands and by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sealbus_core::seal::{KeyId, KeyKind, Keyring, KeyringText, Status};
use sealbus_runtime::files::load_keyring;
use sealbus_testkit::eventually;

use crate::support::{Bus, client, load};
use crate::{expect, keyring_file, new_key};

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
