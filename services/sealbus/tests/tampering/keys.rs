//! Tests that misuse keys: rows 19 and 20 of the tampering table
//! (docs/spec/integrity.md#tampering-table).

use sealbus_core::seal::{KeyKind, Keyring, Signer};
use serde_json::json;

use crate::scene::{ORIGIN, Scene, keys, sealed_by, with_payload};

fn attacker() -> Signer {
    let seed: Vec<u8> = (60..92).collect();
    let keyring = Keyring::generate(KeyKind::Ed25519, seed.as_slice().try_into().unwrap()).unwrap();
    Keyring::parse(&keyring).unwrap().signer().unwrap()
}

#[tokio::test]
async fn row_19_attackers_key_added_to_the_table() {
    let scene = Scene::start().await;
    let attacker = attacker();
    let mut added = with_payload(&attacker.key_added(ORIGIN, attacker.kid()), scene.record("_system/_keys/2").await);
    added.header.seq = 3;
    added.header.event_id = uuid::Uuid::now_v7();
    added.header.prev = added.event_hash;
    let added = sealed_by(&attacker, added);
    scene.put(&added).await;
    scene.put(&sealed_by(&attacker, scene.record("acme/order-1/5").await)).await;
    scene.tamper("DELETE FROM sealbus.seal_queue").await;
    scene.expect(&[("UNTRUSTED_KEY", "_system/_keys/3"), ("UNTRUSTED_KEY", "acme/order-1/5")]);
}

#[tokio::test]
async fn row_20_key_used_outside_its_window() {
    // The verifier pins that the Ed25519 key counts below index 9, which is the leaf of order-1/3.
    let scene = Scene::start().await;
    let mut pinned = keys(KeyKind::Ed25519);
    pinned["keys"][1]["until"] = json!(9);
    std::fs::write(scene.path("keyring.json"), pinned.to_string()).unwrap();
    let after = ["acme/order-1/3", "acme/order-1/4", "acme/order-1/5", "acme/order-3/1", "acme/order-3/2"];
    scene.expect(&after.map(|place| ("KEY_WINDOW", place)));
}

#[tokio::test]
async fn row_20_key_used_after_the_leaf_that_ended_it() {
    let scene = Scene::start().await;
    let (before, after) = (Scene::keyring(KeyKind::Hmac), Scene::keyring(KeyKind::Ed25519));
    // A revocation from index 0 on counts only from its own leaf.
    let revoked = json!({"kid": scene.hmac.kid(), "until": 0, "reason": "lost"}).to_string();
    scene.append(&after, "_system", "_keys", &[("key.revoked", revoked)]).await;
    scene.append(&before, "other", "order-1", &[("test.happened", "{}".into())]).await;
    scene.seal_and_anchor().await;
    scene.expect_only(&[("KEY_WINDOW", "other/order-1/3")]);
    // The revocation counts from an earlier index if the verifier pins that index.
    let mut pinned = keys(KeyKind::Ed25519);
    pinned["keys"][0]["until"] = json!(4);
    std::fs::write(scene.path("keyring.json"), pinned.to_string()).unwrap();
    let after = ["acme/order-2/3", "acme/order-2/4", "other/order-1/1", "other/order-1/2", "other/order-1/3"];
    scene.expect_only(&after.map(|place| ("KEY_WINDOW", place)));
}
