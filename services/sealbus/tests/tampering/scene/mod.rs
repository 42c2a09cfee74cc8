//! A ledger with a log and an anchor, before anything is changed.
//!
//! | plan | sealed by | events |
//! |---|---|---|
//! | `_system/_keys` | HMAC | the HMAC key, the Ed25519 key |
//! | `acme/order-1` | Ed25519 | four with leaves, a fifth without |
//! | `acme/order-2` | HMAC | three with leaves, a fourth without |
//! | `acme/order-3` | Ed25519 | two with leaves |
//! | `other/order-1` | HMAC, and scheme v1 | two with leaves |
//!
//! Unchanged, `sealbus verify` finds that no anchor covers the two events without leaves, and ends with 4.
//!
//! - `tamper`: changing the database as a superuser does.
//! - `verify`: running `sealbus`, and comparing its findings.

mod tamper;
mod verify;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use sealbus_core::clock::Clock as _;
use sealbus_core::event::Record;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::{KeyKind, Keyring, Signer};
use sealbus_ledger::Ledger;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect};
use sealbus_ledger::log::{SealingState, Signing};
use sealbus_ledger::verification::Scope;
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::anchors::{Anchor as _, AnchorFile};
use sealbus_testkit::{Postgres, TestLedger, events};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::tamper::row_at;
pub(crate) use self::verify::{findings_in, findings_of};

pub(crate) const ORIGIN: &str = "test.example/tampering";
/// The findings in an unchanged scene.
pub(crate) const UNTOUCHED: [(&str, &str); 2] = [("UNANCHORED", "acme/order-1/5"), ("UNANCHORED", "acme/order-2/4")];
/// Number of leaves in the log.
pub(crate) const SIZE: u64 = 13;

/// The ledger, its keys and its files.
pub(crate) struct Scene {
    pub postgres: Postgres,
    pub folder: TempDir,
    pub ledger: Ledger,
    /// The key of `order-2`.
    pub hmac: Signer,
    /// The key of `order-1`.
    pub ed25519: Signer,
    pub log: LogSigner,
    /// The URL of the database to verify, if it is not the scene's own.
    pub database: Option<String>,
    /// Additional arguments of `sealbus verify`.
    pub arguments: Vec<String>,
}

/// Returns the keyring file of the scene, in which this kind of signing key is active.
pub(crate) fn keys(active: KeyKind) -> Value {
    let pair = |kind: KeyKind, seed: u8| {
        let mut bytes = [seed; 32];
        bytes.iter_mut().zip(0..).for_each(|(byte, n)| *byte ^= n);
        let made: Value = serde_json::from_str(&Keyring::generate(kind, &bytes).unwrap()).unwrap();
        made["keys"][0].clone()
    };
    let secret = |first: u8| STANDARD.encode((first..first + 32).collect::<Vec<_>>());
    let mut hmac = json!({"id": "hmac-00112233445566ff", "secret": secret(1)});
    let mut ed25519 = pair(KeyKind::Ed25519, 0x40);
    let other = if active == KeyKind::Hmac { &mut ed25519 } else { &mut hmac };
    other["status"] = json!("retired");
    let v1 = json!({"id": "v1-00112233445566ff", "secret": secret(101)});
    json!({"keys": [hmac, ed25519, pair(KeyKind::Log, 0x80), v1]})
}

impl Scene {
    pub(crate) async fn start() -> Self {
        // Create the ledger, with the HMAC key active.
        let folder = tempfile::tempdir().unwrap();
        let keyring = |active| Keyring::parse(&keys(active).to_string()).unwrap();
        let (before, after) = (keyring(KeyKind::Hmac), keyring(KeyKind::Ed25519));
        std::fs::write(folder.path().join("keyring.json"), keys(KeyKind::Ed25519).to_string()).unwrap();

        let TestLedger { postgres, ledger, .. } =
            TestLedger::create_with(Postgres::start().await, ORIGIN, before.clone()).await;
        let scene = Self {
            hmac: before.signer().unwrap(),
            ed25519: after.signer().unwrap(),
            log: LogSigner::new(&after, ORIGIN).unwrap(),
            database: None,
            arguments: Vec::new(),
            postgres,
            folder,
            ledger,
        };
        // Initialise the log, and anchor its first checkpoint.
        let (first, _) = scene.ledger.log().begin(&scene.log, now()).await.unwrap();
        scene.anchors().keep(&first).await.unwrap();

        // Add the Ed25519 key, and append events under both keys.
        let added = scene.ed25519.key_added(ORIGIN, scene.hmac.kid());
        scene.append(&before, "_system", "_keys", &[("key.added", added)]).await;
        scene.ledger.keys().allow(scene.ed25519.kid()).await.unwrap();
        for (tenant, plan, count) in [("acme", "order-2", 3), ("other", "order-1", 2)] {
            scene.append_orders(&before, tenant, plan, 1..=count).await;
        }
        for (plan, count) in [("order-1", 4), ("order-3", 2)] {
            scene.append_orders(&after, "acme", plan, 1..=count).await;
        }
        // Seal these events, and append two more that have no leaf.
        scene.seal_and_anchor().await;
        scene.append_orders(&after, "acme", "order-1", 5..=5).await;
        scene.append_orders(&before, "acme", "order-2", 4..=4).await;
        scene
    }

    async fn append_orders(&self, keyring: &Keyring, tenant: &str, plan: &str, orders: std::ops::RangeInclusive<u64>) {
        let orders: Vec<_> = orders.map(|n| ("test.happened", json!({"a": "x", "n": n}).to_string())).collect();
        self.append(keyring, tenant, plan, &orders).await;
    }

    /// Appends events (type and payload) as a publisher with this keyring does.
    pub(crate) async fn append(&self, keyring: &Keyring, tenant: &str, plan: &str, drafts: &[(&str, String)]) {
        let settings = AppendSettings {
            v1_tenants: HashSet::from(["other".to_owned()]),
            ..sealbus_testkit::ledger::append_settings()
        };
        let appender = Appender::start(&self.ledger, keyring, &settings, None).unwrap();
        let call = Call {
            tenant: Tenant::parse_any(tenant).unwrap(),
            plan: Plan::parse_any(plan).unwrap(),
            expect: Expect::Any,
            events: drafts.iter().map(|(event_type, payload)| events::draft(event_type, payload.clone())).collect(),
        };
        appender.append(call).await.unwrap();
    }

    pub(crate) fn keyring(active: KeyKind) -> Keyring {
        Keyring::parse(&keys(active).to_string()).unwrap()
    }

    /// Seals the queued events and anchors the checkpoint, as a sealer does.
    pub(crate) async fn seal_and_anchor(&self) -> Note {
        let anchored = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap();
        let signing = Signing { signer: &self.log, anchored: &anchored, time: now() };
        let sealed = self.ledger.log().seal_batch(1_000, &mut SealingState::default(), Some(signing)).await.unwrap();
        assert!(sealed.stopped.is_empty(), "{:?}", sealed.stopped);
        let note = sealed.note.unwrap();
        self.anchors().keep(&note).await.unwrap();
        note
    }

    pub(crate) fn anchors(&self) -> AnchorFile {
        AnchorFile::new(self.path("anchors"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns all records by place.
    pub(crate) async fn records(&self) -> BTreeMap<String, Record> {
        let events: Vec<_> = self.ledger.history().exported(&Scope::Everything).try_collect().await.unwrap();
        events.into_iter().map(|event| *event.record.unwrap()).map(|record| (place(&record), record)).collect()
    }

    pub(crate) async fn record(&self, place: &str) -> Record {
        self.records().await.remove(place).unwrap()
    }

    /// Returns the records that have a leaf, in log order.
    pub(crate) async fn sealed(&self) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.records().await.into_values().filter(|record| record.log_index.is_some()).collect();
        records.sort_by_key(|record| record.log_index);
        records
    }
}

/// Returns the place of a record as findings print it.
pub(crate) fn place(record: &Record) -> String {
    format!("{}/{}/{}", record.header.tenant, record.header.plan, record.header.seq)
}

/// Returns the record sealed by this key, with its event hash computed again.
pub(crate) fn sealed_by(signer: &Signer, mut record: Record) -> Record {
    record.header.kid = signer.kid().clone();
    record.event_hash = record.header.hash();
    let seal = signer.seal(&record.header, &record.event_hash);
    (record.mac, record.sig) = (seal.mac, seal.sig);
    record
}

/// Returns the record with another payload and its old seal.
pub(crate) fn with_payload(payload: &str, mut record: Record) -> Record {
    record.header.payload_hash = sealbus_core::hash::Hash::of(payload.as_bytes());
    record.header.payload_size = u32::try_from(payload.len()).unwrap();
    record.payload = Some(payload.to_owned());
    record
}

pub(crate) fn now() -> u64 {
    SystemClock.unix_seconds()
}
