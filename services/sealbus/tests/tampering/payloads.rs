//! What is done with data keys and envelopes: 30, 31 and 38.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::envelope::{Binding, DataKey, DataSubject, Envelope, Plaintext};
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::names::Tenant;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_ledger::append::{AppendSettings, Appender};
use sealbus_ledger::data_keys::ErasureRequest;
use serde_json::json;
use uuid::Uuid;

use crate::scene::{Scene, keys, place, saying, sealed_by};

const FIRST: &str = "acme/order-3/1";
const SECOND: &str = "acme/order-3/2";

/// A scene whose `order-3` is encrypted for Ada: its two events under her data key, in a log that is anchored anew.
struct Encrypted {
    scene: Scene,
    keyring: Keyring,
    key: DataKey,
}

fn ada() -> DataSubject {
    DataSubject::parse("Ada Lovelace").unwrap()
}

/// The record with its payload in an envelope of this key, bound to it, and sealed anew.
fn under(scene: &Scene, key: &DataKey, nonce: u8, mut record: Record) -> Record {
    record.header.payload_mode = PayloadMode::Encrypted;
    let plaintext = Plaintext { data: format!(r#"{{"n":{nonce}}}"#), metadata: "{}".into() };
    let envelope = Envelope::seal(key, [nonce; 24], &Binding::of(&record.header), &plaintext).to_text();
    sealed_by(&scene.ed25519, saying(&envelope, record))
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
        let first = under(&encrypted.scene, &encrypted.key, 1, encrypted.scene.record(FIRST).await);
        encrypted.rewrite(&[first]).await;
        let mut second = encrypted.scene.record(SECOND).await;
        second.header.prev = encrypted.scene.record(FIRST).await.event_hash;
        let second = under(&encrypted.scene, &encrypted.key, 2, second);
        encrypted.rewrite(&[second]).await;
        encrypted
    }

    /// Puts these records, in a log made anew, as its holder can.
    async fn rewrite(&self, records: &[Record]) {
        for record in records {
            self.scene.put(record).await;
        }
        let queued = "CREATE TABLE kept AS SELECT plan_no, seq, event_hash FROM sealbus.seal_queue";
        self.scene.tamper(queued).await;
        let log = self.scene.sealed().await;
        assert!(log.iter().any(|record| place(record) == SECOND));
        let note = self.scene.log_anew(&log).await;
        let again = "INSERT INTO sealbus.seal_queue (plan_no, seq, event_hash) SELECT * FROM kept ORDER BY plan_no, seq; DROP TABLE kept";
        self.scene.tamper(again).await;
        self.scene.anchor_only(&note).await;
    }
}

#[tokio::test]
async fn row_30_data_key_destroyed_by_an_erasure_event() {
    let Encrypted { scene, keyring, .. } = Encrypted::start().await;
    scene.expect(&[]);
    let appender = Appender::start(&scene.ledger, &keyring, &AppendSettings::default(), None).unwrap();
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
    // The holder of the signing key puts the first one's envelope into the second.
    let moved = sealed_by(&scene.ed25519, saying(first.payload.as_deref().unwrap(), second.clone()));
    encrypted.rewrite(&[moved]).await;
    scene.expect(&[("AAD", SECOND)]);
    // Or one that names this data key and commits to another.
    let other = DataKey::new(encrypted.key.key_id(), &[8; 32].into());
    encrypted.rewrite(&[under(scene, &other, 2, second)]).await;
    scene.expect(&[("COMMITMENT", SECOND)]);
}

#[tokio::test]
async fn row_38_data_key_gone_and_no_erasure_event_names_it() {
    let Encrypted { scene, .. } = Encrypted::start().await;
    scene.tamper("DELETE FROM sealbus.data_keys").await;
    scene.expect(&[("KEY_LOST", FIRST), ("KEY_LOST", SECOND)]);
    // Whoever cannot open payloads sees that all of it is as it was sealed.
    std::fs::write(scene.path("keyring.json"), keys(KeyKind::Ed25519).to_string()).unwrap();
    scene.expect(&[]);
}
