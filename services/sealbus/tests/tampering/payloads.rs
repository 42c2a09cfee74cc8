//! Tests that change data keys and envelopes: rows 30, 31 and 38 of the tampering table
//! (docs/spec/integrity.md#tampering-table).

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::envelope::{Binding, DataKey, DataSubject, Envelope, Plaintext};
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::names::Tenant;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_ledger::append::Appender;
use sealbus_ledger::data_keys::ErasureRequest;
use serde_json::json;
use uuid::Uuid;

use crate::scene::{Scene, keys, place, sealed_by, with_payload};

const FIRST: &str = "acme/order-3/1";
const SECOND: &str = "acme/order-3/2";

/// A scene in which the two events of `order-3` are encrypted under Ada's data key, with a new log and anchor.
struct Encrypted {
    scene: Scene,
    keyring: Keyring,
    key: DataKey,
}

fn ada() -> DataSubject {
    DataSubject::parse("Ada Lovelace").unwrap()
}

/// Returns the record with its payload in an envelope of this key, sealed again.
fn encrypted_under(scene: &Scene, key: &DataKey, nonce: u8, mut record: Record) -> Record {
    record.header.payload_mode = PayloadMode::Encrypted;
    let plaintext = Plaintext { data: format!(r#"{{"n":{nonce}}}"#), metadata: "{}".into() };
    let envelope = Envelope::seal(key, [nonce; 24], &Binding::of(&record.header), &plaintext).to_text();
    sealed_by(&scene.ed25519, with_payload(&envelope, record))
}

impl Encrypted {
    async fn start() -> Self {
        let scene = Scene::start().await;
        let mut file = keys(KeyKind::Ed25519);
        let kek = json!({"id": "kek-00112233445566ff", "secret": STANDARD.encode((160..192).collect::<Vec<u8>>())});
        file["keys"].as_array_mut().unwrap().push(kek);
        std::fs::write(scene.path("keyring.json"), file.to_string()).unwrap();
        let keyring = Keyring::parse(&file.to_string()).unwrap();
        let key = DataKey::new(Uuid::from_u128(7), &[9; 32].into());
        let wrapped = keyring.wrap_data_key(&key, "acme", &ada(), NonZeroU32::MIN, &[1; 24]).unwrap();
        scene.ledger.data_keys().add(&[wrapped]).await.unwrap();
        let encrypted = Self { scene, keyring, key };
        let first = encrypted_under(&encrypted.scene, &encrypted.key, 1, encrypted.scene.record(FIRST).await);
        encrypted.rewrite(&[first]).await;
        let mut second = encrypted.scene.record(SECOND).await;
        second.header.prev = encrypted.scene.record(FIRST).await.event_hash;
        let second = encrypted_under(&encrypted.scene, &encrypted.key, 2, second);
        encrypted.rewrite(&[second]).await;
        encrypted
    }

    /// Replaces these records and builds a new log, as someone who has the log's key can.
    async fn rewrite(&self, records: &[Record]) {
        for record in records {
            self.scene.put(record).await;
        }
        let queued = "CREATE TABLE kept AS SELECT plan_no, seq, event_hash FROM sealbus.seal_queue";
        self.scene.tamper(queued).await;
        let log = self.scene.sealed().await;
        assert!(log.iter().any(|record| place(record) == SECOND));
        let note = self.scene.rebuild_log(&log).await;
        let again = "INSERT INTO sealbus.seal_queue (plan_no, seq, event_hash) SELECT * FROM kept ORDER BY plan_no, seq; DROP TABLE kept";
        self.scene.tamper(again).await;
        self.scene.anchor_only(&note).await;
    }
}

#[tokio::test]
async fn row_30_data_key_destroyed_by_an_erasure_event() {
    let Encrypted { scene, keyring, .. } = Encrypted::start().await;
    scene.expect(&[]);
    let appender = Appender::start(&scene.ledger, &keyring, &sealbus_testkit::ledger::append_settings(), None).unwrap();
    let tenant = Tenant::parse("acme").unwrap();
    let order = ErasureRequest { tenant, subject: ada(), actor: "officer".into(), reason: "asked for".into() };
    assert_eq!(scene.ledger.data_keys().erase(&appender, &order).await.unwrap().keys.len(), 1);
    scene.seal_and_anchor().await;
    scene.expect_only(&[("ERASED", FIRST), ("ERASED", SECOND)]);
}

#[tokio::test]
async fn row_31_ciphertext_moved_between_events_or_under_two_keys() {
    let encrypted = Encrypted::start().await;
    let scene = &encrypted.scene;
    let (first, second) = (scene.record(FIRST).await, scene.record(SECOND).await);
    // Someone who has the signing key puts the first event's envelope into the second event.
    let moved = sealed_by(&scene.ed25519, with_payload(first.payload.as_deref().unwrap(), second.clone()));
    encrypted.rewrite(&[moved]).await;
    scene.expect(&[("AAD", SECOND)]);
    // Someone who has the signing key stores an envelope that names this data key and commits to another one.
    let other = DataKey::new(encrypted.key.key_id(), &[8; 32].into());
    encrypted.rewrite(&[encrypted_under(scene, &other, 2, second)]).await;
    scene.expect(&[("COMMITMENT", SECOND)]);
}

#[tokio::test]
async fn row_38_data_key_gone_and_no_erasure_event_names_it() {
    let Encrypted { scene, .. } = Encrypted::start().await;
    scene.tamper("DELETE FROM sealbus.data_keys").await;
    scene.expect(&[("KEY_LOST", FIRST), ("KEY_LOST", SECOND)]);
    // A verifier that cannot open payloads finds everything as it was sealed.
    std::fs::write(scene.path("keyring.json"), keys(KeyKind::Ed25519).to_string()).unwrap();
    scene.expect(&[]);
}
