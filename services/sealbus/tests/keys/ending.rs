//! Publishers whose key was retired or revoked.

use rustix::process::Signal;
use sealbus_core::seal::Status;
use sealbus_runtime::files::load_keyring;
use sealbus_testkit::process::send_signal;
use serde_json::Value;

use crate::support::{self, Bus, Role, client, load};
use crate::{active, expect, keyring_file, new_key, restart};

async fn publish(publisher: &Role) -> reqwest::Response {
    let event = serde_json::json!({ "type": "test.happened", "data": 1 });
    let plan = format!("{}/v1/plans/plan-0/events", publisher.url());
    reqwest::Client::new().post(plan).bearer_auth(support::TOKEN).json(&event).send().await.unwrap()
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
