//! A ledger with its log and an anchor, as it is before somebody tampers with it.
//!
//! | plan | sealed by | events |
//! |---|---|---|
//! | `_system/_keys` | HMAC | the HMAC key, the Ed25519 key |
//! | `acme/order-1` | Ed25519 | four with leaves, a fifth without |
//! | `acme/order-2` | HMAC | three with leaves, a fourth without |
//! | `acme/order-3` | Ed25519 | two with leaves |
//! | `other/order-1` | HMAC, and scheme v1 | two with leaves |
//!
//! Untouched, verify finds that no anchor covers the two without leaves, and ends with 4.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use sealbus_core::clock::Clock as _;
use sealbus_core::event::Record;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{empty_root, leaf_hash};
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::{EdgeTiles, TileKind};
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::{KeyKind, Keyring, Signer};
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect};
use sealbus_ledger::log::Signing;
use sealbus_ledger::verification::Scope;
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::anchors::{Anchor as _, AnchorFile};
use sealbus_testkit::{Postgres, events};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "test.example/tampering";
/// What is found where nothing was done.
pub(crate) const UNTOUCHED: [(&str, &str); 2] = [("UNANCHORED", "acme/order-1/5"), ("UNANCHORED", "acme/order-2/4")];
/// Leaves of the log.
pub(crate) const SIZE: u64 = 13;

pub(crate) struct Scene {
    pub postgres: Postgres,
    pub folder: TempDir,
    pub ledger: Ledger,
    /// The key of `order-2`, and that of `order-1`.
    pub hmac: Signer,
    pub ed25519: Signer,
    pub log: LogSigner,
    /// Where verify looks, if not at this scene's own database.
    pub database: Option<String>,
    /// More arguments of verify.
    pub arguments: Vec<String>,
}

/// The keys of the scene; one of the two that seal is active.
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
        let postgres = Postgres::start().await;
        let folder = tempfile::tempdir().unwrap();
        let keyring = |active| Keyring::parse(&keys(active).to_string()).unwrap();
        let (before, after) = (keyring(KeyKind::Hmac), keyring(KeyKind::Ed25519));
        std::fs::write(folder.path().join("keyring.json"), keys(KeyKind::Ed25519).to_string()).unwrap();

        let config = LedgerConfig::new(postgres.url());
        let creation =
            Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&config, &creation, &before).await.unwrap();
        let ledger = Ledger::open(&config).await.unwrap();
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
        let (first, _) = scene.ledger.log().begin(&scene.log, now()).await.unwrap();
        scene.anchors().keep(&first).await.unwrap();

        let added = scene.ed25519.key_added(ORIGIN, scene.hmac.kid());
        scene.append(&before, "_system", "_keys", &[("key.added", added)]).await;
        scene.ledger.keys().allow(scene.ed25519.kid()).await.unwrap();
        for (tenant, plan, count) in [("acme", "order-2", 3), ("other", "order-1", 2)] {
            scene.append_orders(&before, tenant, plan, 1..=count).await;
        }
        for (plan, count) in [("order-1", 4), ("order-3", 2)] {
            scene.append_orders(&after, "acme", plan, 1..=count).await;
        }
        scene.seal_and_anchor().await;
        scene.append_orders(&after, "acme", "order-1", 5..=5).await;
        scene.append_orders(&before, "acme", "order-2", 4..=4).await;
        scene
    }

    async fn append_orders(&self, keyring: &Keyring, tenant: &str, plan: &str, orders: std::ops::RangeInclusive<u64>) {
        let orders: Vec<_> = orders.map(|n| ("test.happened", json!({"a": "x", "n": n}).to_string())).collect();
        self.append(keyring, tenant, plan, &orders).await;
    }

    /// Appends as a publisher with this keyring does.
    pub(crate) async fn append(&self, keyring: &Keyring, tenant: &str, plan: &str, told: &[(&str, String)]) {
        let settings = AppendSettings { v1_tenants: HashSet::from(["other".to_owned()]), ..AppendSettings::default() };
        let appender = Appender::start(&self.ledger, keyring, &settings, None).unwrap();
        let call = Call {
            tenant: Tenant::parse_any(tenant).unwrap(),
            plan: Plan::parse_any(plan).unwrap(),
            expect: Expect::Any,
            events: told.iter().map(|(event_type, payload)| events::draft(event_type, payload.clone())).collect(),
        };
        appender.append(call).await.unwrap();
    }

    pub(crate) fn keyring(active: KeyKind) -> Keyring {
        Keyring::parse(&keys(active).to_string()).unwrap()
    }

    /// Seals what is queued and anchors the checkpoint, as a sealer does.
    pub(crate) async fn seal_and_anchor(&self) -> Note {
        let anchored = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap();
        let signing = Signing { signer: &self.log, anchored: &anchored, time: now() };
        let sealed = self.ledger.log().seal_batch(1_000, &HashSet::new(), Some(signing)).await.unwrap();
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

    /// Does this as a superuser, past the triggers.
    pub(crate) async fn tamper(&self, sql: &str) {
        self.postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
    }

    /// Changes a row of events: `acme/order-1/2`.
    pub(crate) async fn change(&self, place: &str, change: &str) {
        self.tamper(&format!("UPDATE sealbus.events SET {change} WHERE {}", at(place))).await;
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::raw_sql("SET session_replication_role = replica").execute(&mut connection).await.unwrap();
        connection
    }

    /// All records, by place.
    pub(crate) async fn records(&self) -> BTreeMap<String, Record> {
        let records: Vec<Record> = self.ledger.history().records(&Scope::Everything).try_collect().await.unwrap();
        records.into_iter().map(|record| (place(&record), record)).collect()
    }

    pub(crate) async fn record(&self, place: &str) -> Record {
        self.records().await.remove(place).unwrap()
    }

    /// Writes a record in the place that it says, over what stands there. Its leaf is left as it is.
    pub(crate) async fn put(&self, record: &Record) {
        let (header, v1) = (&record.header, record.v1.as_ref());
        let mut connection = self.connect().await;
        let begin = "INSERT INTO sealbus.plans (tenant, plan, partition) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
        sqlx::query(begin).bind(&header.tenant).bind(&header.plan).execute(&mut connection).await.unwrap();
        let clear = format!("DELETE FROM sealbus.events WHERE {}", at(&place(record)));
        sqlx::query(AssertSqlSafe(clear)).execute(&mut connection).await.unwrap();
        let insert =
            "INSERT INTO sealbus.events (plan_no, seq, tenant, event_id, type, data_version, occurred, recorded, source, actor,
                correlation_id, causation_id, payload_mode, payload_size, payload_hash, metadata_hash, prev, kid, event_hash, mac,
                sig, request_mac, payload, metadata, v1_payload_hash, v1_prev_hash, v1_signature)
             SELECT plan_no, $3, $1, $4, $5, $6, $7::timestamptz, $8::timestamptz, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23::json, $24::json, $25, $26, $27
             FROM sealbus.plans WHERE tenant = $1 AND plan = $2";
        let number = |number: u32| i32::try_from(number).unwrap();
        sqlx::query(insert)
            .bind(&header.tenant)
            .bind(&header.plan)
            .bind(i64::try_from(header.seq).unwrap())
            .bind(header.event_id)
            .bind(&header.event_type)
            .bind(number(header.data_version))
            .bind(time(header.occurred))
            .bind(time(header.recorded))
            .bind(&header.source)
            .bind(&header.actor)
            .bind(&header.correlation_id)
            .bind(&header.causation_id)
            .bind(i16::from(header.payload_mode.code()))
            .bind(number(header.payload_size))
            .bind(header.payload_hash.as_bytes().as_slice())
            .bind(header.metadata_hash.as_bytes().as_slice())
            .bind(header.prev.as_bytes().as_slice())
            .bind(header.kid.as_str())
            .bind(record.event_hash.as_bytes().as_slice())
            .bind(&record.mac)
            .bind(&record.sig)
            .bind(&record.request_mac)
            .bind(&record.payload)
            .bind(&record.metadata)
            .bind(v1.map(|v1| v1.payload_hash.clone()))
            .bind(v1.and_then(|v1| v1.prev_hash.clone()))
            .bind(v1.map(|v1| v1.signature.clone()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Makes the log anew over these records in this order, as who holds its key and the database can. Anchors are left alone.
    pub(crate) async fn log_anew(&self, records: &[Record]) -> Note {
        let mut connection = self.connect().await;
        sqlx::raw_sql("DELETE FROM sealbus.log_leaves; DELETE FROM sealbus.tiles; DELETE FROM sealbus.log_roots; DELETE FROM sealbus.seal_queue")
            .execute(&mut connection)
            .await
            .unwrap();
        let log_id = self.ledger.deployment().log_id;
        let hashes: Vec<_> = records.iter().map(|record| leaf_hash(&record.leaf())).collect();
        for (index, (record, hash)) in records.iter().zip(&hashes).enumerate() {
            let insert = "INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash)
                          SELECT $1, $2, plan_no, $3, partition, $4 FROM sealbus.plans WHERE tenant = $5 AND plan = $6";
            sqlx::query(insert)
                .bind(log_id)
                .bind(i64::try_from(index).unwrap())
                .bind(i64::try_from(record.header.seq).unwrap())
                .bind(hash.as_bytes().as_slice())
                .bind(&record.header.tenant)
                .bind(&record.header.plan)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let mut edge = EdgeTiles::empty();
        for tile in edge.append(&hashes).unwrap() {
            let TileKind::Hashes(level) = tile.id().kind() else { unreachable!("a tree has hash tiles") };
            sqlx::query("INSERT INTO sealbus.tiles (log_id, level, index, width, hashes) VALUES ($1, $2, $3, $4, $5)")
                .bind(log_id)
                .bind(i16::from(level))
                .bind(i64::try_from(tile.id().n()).unwrap())
                .bind(i16::try_from(tile.id().width()).unwrap())
                .bind(tile.encode())
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let note = self.log.sign(&Checkpoint::new(ORIGIN, edge.size(), edge.root()).unwrap(), now()).unwrap();
        sqlx::query("INSERT INTO sealbus.log_roots (log_id, size, root, prev_size, note) VALUES ($1, $2, $3, 0, $4)")
            .bind(log_id)
            .bind(i64::try_from(edge.size()).unwrap())
            .bind(edge.root().as_bytes().as_slice())
            .bind(note.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
        note
    }

    /// Takes all anchors away and keeps this note instead: what happened before anything was anchored.
    pub(crate) async fn anchor_only(&self, note: &Note) {
        std::fs::remove_file(self.path("anchors")).unwrap();
        self.anchors().keep(note).await.unwrap();
    }

    /// The records of the log in its order.
    pub(crate) async fn sealed(&self) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.records().await.into_values().filter(|record| record.log_index.is_some()).collect();
        records.sort_by_key(|record| record.log_index);
        records
    }

    /// `sealbus` with these arguments.
    pub(crate) fn sealbus(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealbus"));
        command
            .args(arguments)
            .env_clear()
            .env("SEALBUS_ORIGIN", ORIGIN)
            .env("SEALBUS_DATABASE_URL", self.database.clone().unwrap_or_else(|| self.postgres.url()))
            .env("SEALBUS_KEYRING", self.path("keyring.json"))
            .env("SEALBUS_ANCHORS", self.path("anchors"));
        if self.path("policy").exists() {
            command.env("SEALBUS_POLICY", self.path("policy"));
        }
        command
    }

    /// What `sealbus verify --all` finds, and how it ends.
    pub(crate) fn verify(&self) -> (Vec<(String, String)>, i32) {
        let arguments: Vec<&str> =
            ["verify", "--all", "-o", "json"].into_iter().chain(self.arguments.iter().map(String::as_str)).collect();
        told(&mut self.sealbus(&arguments))
    }

    /// Verifies, and expects these findings beside those of the untouched scene that stand at other places.
    pub(crate) fn expect(&self, found: &[(&str, &str)]) {
        let kept = UNTOUCHED.iter().filter(|(_, place)| found.iter().all(|(_, other)| other != place));
        self.expect_only(&kept.chain(found).copied().collect::<Vec<_>>());
    }

    /// Verifies, and expects these findings and no other.
    pub(crate) fn expect_only(&self, found: &[(&str, &str)]) {
        let mut wanted: Vec<_> =
            found.iter().map(|(verdict, place)| ((*verdict).to_owned(), (*place).to_owned())).collect();
        wanted.sort();
        let worst = wanted.iter().map(|(verdict, _)| match verdict.as_str() {
            "ERASED" => 0,
            "UNANCHORED" => 1,
            _ => 2,
        });
        let code = [0, 4, 3][worst.max().unwrap_or(0)];
        assert_eq!(self.verify(), (wanted, code));
    }
}

/// Runs a verification that prints JSON; its findings in order, and its exit code.
pub(crate) fn told(command: &mut Command) -> (Vec<(String, String)>, i32) {
    told_in(&command.output().unwrap())
}

/// What a verification that has ended told.
pub(crate) fn told_in(output: &Output) -> (Vec<(String, String)>, i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    let mut found: Vec<_> = findings.iter().map(|found| (text(&found["verdict"]), text(&found["where"]))).collect();
    found.sort();
    (found, output.status.code().unwrap())
}

/// The row at a place, as a condition.
pub(crate) fn at(place: &str) -> String {
    let (plan, seq) = place.rsplit_once('/').unwrap();
    let (tenant, plan) = plan.split_once('/').unwrap();
    format!(
        "seq = {seq} AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE tenant = '{tenant}' AND plan = '{plan}')"
    )
}

pub(crate) fn place(record: &Record) -> String {
    format!("{}/{}/{}", record.header.tenant, record.header.plan, record.header.seq)
}

/// The record as this key seals it, with its hash made anew.
pub(crate) fn sealed_by(signer: &Signer, mut record: Record) -> Record {
    record.header.kid = signer.kid().clone();
    record.event_hash = record.header.hash();
    let seal = signer.seal(&record.header, &record.event_hash);
    (record.mac, record.sig) = (seal.mac, seal.sig);
    record
}

/// The record with another payload, not sealed anew.
pub(crate) fn saying(payload: &str, mut record: Record) -> Record {
    record.header.payload_hash = sealbus_core::hash::Hash::of(payload.as_bytes());
    record.header.payload_size = u32::try_from(payload.len()).unwrap();
    record.payload = Some(payload.to_owned());
    record
}

pub(crate) fn now() -> u64 {
    SystemClock.unix_seconds()
}

fn time(time: sealbus_core::timestamp::Timestamp) -> String {
    time.to_string()
}
