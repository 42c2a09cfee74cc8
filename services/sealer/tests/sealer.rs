//! A sealer on a real ledger and a real broker: what it signs is anchored and shown; and where signing could fork the log it
//! refuses, in words that an operator understands.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, BrokerConfig};
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect};
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};
use sealbus_sealer::{Config, Metrics, Refusal, Resources, run};
use sealbus_testkit::{Nats, Postgres, events, eventually};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ORIGIN: &str = "test.example/sealer";

struct Scene {
    postgres: Postgres,
    nats: Nats,
    folder: TempDir,
    ledger: Ledger,
    broker: Broker,
    signer: LogSigner,
    keyring: Keyring,
}

struct Sealing {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Refusal>>,
}

impl Sealing {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Scene {
    async fn start() -> Self {
        let (postgres, nats) = (Postgres::start().await, Nats::start().await);
        let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
        let config = LedgerConfig::new(postgres.url());
        let creation =
            Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&config, &creation, &keyring).await.unwrap();
        let ledger = Ledger::open(&config).await.unwrap();
        let broker = Self::connect(&nats).await;
        let signer = LogSigner::new(&keyring, ORIGIN).unwrap();
        Self { postgres, nats, folder: tempfile::tempdir().unwrap(), ledger, broker, signer, keyring }
    }

    async fn connect(nats: &Nats) -> Broker {
        let broker = Broker::connect(BrokerConfig::new(nats.url(), "sealer-test")).await.unwrap();
        broker.ensure_topology(&TopologySettings { max_bytes: 64 << 20, ..Default::default() }).await.unwrap();
        broker
    }

    fn anchors(&self) -> Vec<Arc<dyn Anchor>> {
        let file = AnchorFile::new(self.folder.path().join("anchors"));
        vec![Arc::new(AnchorStream::new(self.broker.clone())), Arc::new(file)]
    }

    /// Does what `sealbus log init` does.
    async fn begin(&self) {
        let (first, _) = self.ledger.log().begin(&self.signer, 1_000).await.unwrap();
        for anchor in self.anchors() {
            anchor.keep(&first).await.unwrap();
        }
    }

    fn seal(&self) -> Sealing {
        let config = Config {
            checkpoint: Duration::from_millis(20),
            heartbeat: Duration::from_millis(200),
            wait: Duration::from_millis(5),
            backoff: Duration::from_millis(50),
            ..Config::default()
        };
        let (ledger, signer, anchors) = (self.ledger.clone(), self.signer.clone(), self.anchors());
        let shutdown = CancellationToken::new();
        let resources = Resources {
            ledger,
            signer,
            witnesses: None,
            anchors,
            clock: Arc::new(SystemClock),
            metrics: Metrics::default(),
        };
        Sealing { task: tokio::spawn(run(config, resources, shutdown.clone())), shutdown }
    }

    async fn refusal(&self) -> Refusal {
        self.seal().task.await.unwrap().unwrap_err()
    }

    async fn append(&self, plan: &str, count: u64) {
        let appender = Appender::start(&self.ledger, &self.keyring, &AppendSettings::default(), None).unwrap();
        let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse(plan).unwrap());
        let events = (0..count).map(events::numbered).collect();
        appender.append(Call { tenant, plan, expect: Expect::Any, events }).await.unwrap();
    }

    async fn shown(&self) -> u64 {
        self.ledger.log().shown_checkpoint().await.unwrap().map_or(0, |(size, _)| size)
    }

    async fn tamper(&self, change: &str) {
        self.postgres.admin(&format!("SET session_replication_role = replica; {change}")).await;
    }

    /// Every checkpoint that an anchor holds, all of them signed by the log.
    async fn anchored(&self, anchor: &dyn Anchor) -> Vec<Checkpoint> {
        let key = self.signer.verifier_key();
        let open = |note: &Vec<u8>| {
            let note = Note::parse(note).unwrap();
            SignedCheckpoint::open(&note, ORIGIN, std::slice::from_ref(&key)).unwrap().checkpoint().clone()
        };
        anchor.notes(true).await.unwrap().iter().map(open).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_signed_anchored_and_shown() {
    let scene = Scene::start().await;
    scene.begin().await;
    scene.append("order-1", 300).await;
    let sealing = scene.seal();
    eventually("the checkpoint over all events", || async { scene.shown().await == 301 }).await;
    scene.append("order-2", 7).await;
    eventually("a later checkpoint", || async { scene.shown().await == 308 }).await;
    let shown = scene.ledger.log().shown_checkpoint().await.unwrap();
    eventually("a heartbeat", || async { scene.ledger.log().shown_checkpoint().await.unwrap() != shown }).await;
    sealing.stop().await;
    let tree = scene.ledger.log().newest_tree().await.unwrap();
    for anchor in scene.anchors() {
        let anchored = scene.anchored(anchor.as_ref()).await;
        assert_eq!(anchored[0].size(), 0, "{}", anchor.name());
        let newest = anchored.last().unwrap();
        assert_eq!((newest.size(), newest.root()), (tree.size, tree.root), "{}", anchor.name());
        for checkpoint in anchored.iter().filter(|checkpoint| checkpoint.size() > 0) {
            assert_eq!(scene.ledger.log().root_by_tiles(checkpoint.size()).await.unwrap(), Some(checkpoint.root()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_before_a_sealer_died_is_anchored_by_the_next() {
    let scene = Scene::start().await;
    scene.begin().await;
    scene.append("order-1", 5).await;
    // Stored, and not anchored: as a sealer leaves it that dies between the two.
    scene.ledger.log().seal_batch(100, &std::collections::HashSet::new(), None).await.unwrap();
    let sealing = scene.seal();
    eventually("the checkpoint of what was stored", || async { scene.shown().await == 6 }).await;
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_goes_on_while_one_of_two_anchors_is_away() {
    let mut scene = Scene::start().await;
    scene.begin().await;
    let sealing = scene.seal();
    scene.append("order-1", 1).await;
    eventually("a checkpoint", || async { scene.shown().await == 2 }).await;
    scene.nats.kill().await;
    scene.append("order-1", 1).await;
    eventually("a checkpoint in the file alone", || async { scene.shown().await == 3 }).await;
    scene.nats.restart().await;
    let stream = AnchorStream::new(scene.broker.clone());
    eventually("the stream has the newest again", || async {
        stream.notes(true).await.is_ok_and(|notes| {
            notes.iter().any(|note| String::from_utf8_lossy(note).starts_with(&format!("{ORIGIN}\n3\n")))
        })
    })
    .await;
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_began_is_not_sealed() {
    let scene = Scene::start().await;
    let refusal = scene.refusal().await;
    assert!(matches!(refusal, Refusal::NotBegun) && refusal.to_string().contains("sealbus log init"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_rolled_back_is_not_signed() {
    let scene = Scene::start().await;
    scene.begin().await;
    scene.append("order-1", 20).await;
    let sealing = scene.seal();
    eventually("a checkpoint", || async { scene.shown().await == 21 }).await;
    sealing.stop().await;
    // As after a restore of an older backup: fewer leaves, and a tree that is right for them.
    scene
        .tamper(
            "TRUNCATE sealbus.tiles, sealbus.checkpoints; DELETE FROM sealbus.log_roots WHERE size > 0; \
             DELETE FROM sealbus.log_leaves WHERE leaf_index >= 10",
        )
        .await;
    scene.ledger.log().seal_batch(1_000, &std::collections::HashSet::new(), None).await.unwrap();
    let refusal = scene.refusal().await;
    assert!(matches!(refusal, Refusal::RolledBack { size: 10, anchored: 21 }), "{refusal}");
    assert!(refusal.to_string().contains("rolled back"), "{refusal}");
    assert_eq!(scene.ledger.log().size().await.unwrap(), 10, "nothing was sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_of_the_same_length_is_not_signed() {
    let scene = Scene::start().await;
    scene.begin().await;
    scene.append("order-1", 20).await;
    let sealing = scene.seal();
    eventually("a checkpoint", || async { scene.shown().await == 21 }).await;
    sealing.stop().await;
    scene
        .tamper(
            "TRUNCATE sealbus.tiles; DELETE FROM sealbus.log_roots WHERE size > 0; \
             UPDATE sealbus.log_leaves SET leaf_hash = sha256('forged') WHERE leaf_index = 7",
        )
        .await;
    scene.ledger.log().seal_batch(1_000, &std::collections::HashSet::new(), None).await.unwrap();
    let refusal = scene.refusal().await;
    assert!(matches!(refusal, Refusal::Differs { anchored: 21 }), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_that_know_nothing_of_the_log_are_not_believed() {
    let scene = Scene::start().await;
    scene.ledger.log().begin(&scene.signer, 1_000).await.unwrap();
    let refusal = scene.refusal().await;
    assert!(matches!(refusal, Refusal::Forgotten { .. }), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sealers_make_one_log() {
    let scene = Scene::start().await;
    scene.begin().await;
    let both = [scene.seal(), scene.seal()];
    for plan in 0..30 {
        scene.append(&format!("order-{plan}"), 10).await;
    }
    eventually("the checkpoint over all events", || async { scene.shown().await == 301 }).await;
    for sealing in both {
        sealing.stop().await;
    }
    let stream = AnchorStream::new(scene.broker.clone());
    for checkpoint in scene.anchored(&stream).await.iter().filter(|checkpoint| checkpoint.size() > 0) {
        assert_eq!(scene.ledger.log().root_by_tiles(checkpoint.size()).await.unwrap(), Some(checkpoint.root()));
    }
}
