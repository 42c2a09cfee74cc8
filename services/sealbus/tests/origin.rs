//! Commands that open the ledger refuse one that belongs to another origin than `SEALBUS_ORIGIN`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use crate::support::Bus;

#[tokio::test(flavor = "multi_thread")]
async fn commands_refuse_a_ledger_of_another_origin() {
    let mut bus = Bus::start().await;
    let new_key = bus.command(&["keys", "new", "--kind", "ed25519"]).output().await.unwrap();
    let new_key = String::from_utf8(new_key.stdout).unwrap().split_whitespace().next().unwrap().to_owned();
    let keyring = sealbus_runtime::files::load_keyring(&bus.folder.path().join("keyring.json")).unwrap();
    let active_key = keyring.signer().unwrap().kid().to_string();
    let bundle = bus.folder.path().join("bundle").display().to_string();
    let events = bus.count("SELECT count(*) FROM sealbus.events").await;

    bus.set("SEALBUS_ORIGIN", "other.example/bus");
    for arguments in [
        &["verify", "--all"][..],
        &["inspect", "0196a1b2-0000-7000-8000-000000000000"],
        &["export", "--all", "--out", &bundle],
        &["dead-letters", "list"],
        &["dead-letters", "show", "audit-storage", "plan-0"],
        &["dead-letters", "redrive", "audit-storage", "plan-0", "--reason", "a test"],
        &["dead-letters", "skip", "audit-storage", "plan-0", "--reason", "a test"],
        &["erase", "--subject", "Ada Lovelace", "--reason", "a test"],
        &["keys", "list"],
        &["keys", "rotate", &new_key],
        &["keys", "retire", &active_key],
        &["keys", "revoke", &new_key, "--reason", "a test"],
        &["migrate"],
        &["log", "init"],
    ] {
        let (status, printed) = bus.run(arguments).await;
        assert_eq!(status, 1, "{arguments:?} did not refuse the ledger: {printed}");
        assert!(
            printed.contains("test.example/bus") && printed.contains("other.example/bus"),
            "{arguments:?} does not name both origins: {printed}"
        );
    }
    assert!(!std::path::Path::new(&bundle).exists(), "export wrote a bundle of the wrong ledger");
    assert_eq!(
        bus.count("SELECT count(*) FROM sealbus.events").await,
        events,
        "a command appended to the wrong ledger"
    );
}
