//! Sealers on a real ledger and a real broker: what they sign is anchored and shown, they refuse to sign what could fork the
//! log, and events get their leaves nevertheless.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sealbus_broker::Broker;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::Appender;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::telemetry::metrics::{Registry, exposition};
use sealbus_sealer::anchors::{Anchor, AnchorError, AnchorFile, AnchorStream};
use sealbus_sealer::{Config, Metrics, Resources, run};
use sealbus_testkit::ledger::append;
use sealbus_testkit::{Postgres, TestBus, events, eventually, eventually_eq};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const ORIGIN: &str = "test.example/sealer";
const LOG_TABLES: [&str; 3] = ["tiles", "log_leaves", "log_roots"];

/// A bus, and two anchors: the stream of its broker, and a file.
struct Scene {
    bus: TestBus,
    broker: Broker,
    appender: Appender,
    folder: TempDir,
    signer: LogSigner,
}

/// A running sealer.
struct Sealer {
    registry: Registry,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    metrics: Metrics,
}

impl Sealer {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Waits until the sealer refuses to sign for this reason.
    async fn refuses(&self, reason: &'static str) {
        eventually(&format!("the sealer refuses: {reason}"), async || self.metrics.refuses(reason)).await;
    }

    /// Waits until a metric has this value, written as in the text format.
    async fn shows(&self, metric: &str, value: &str) {
        let line = format!("{metric} {value}");
        eventually(&format!("the metrics have {line}"), async || {
            exposition(&self.registry).lines().any(|shown| shown == line)
        })
        .await;
    }
}

impl Scene {
    /// Starts a bus whose log is not initialised.
    async fn start() -> Self {
        Self::on(TestBus::start(ORIGIN).await).await
    }

    async fn on(bus: TestBus) -> Self {
        let broker = bus.connect_with_streams().await;
        let appender = bus.appender().await;
        let signer = LogSigner::new(&bus.keyring, ORIGIN).unwrap();
        Self { bus, broker, appender, folder: tempfile::tempdir().unwrap(), signer }
    }

    /// Starts a bus whose log is initialised as by `sealbus log init`.
    async fn initialised() -> Self {
        let scene = Self::start().await;
        scene.initialise().await;
        scene
    }

    async fn initialise(&self) {
        let (first, _) = self.ledger().log().begin(&self.signer, 1_000).await.unwrap();
        self.anchor(&first).await;
    }

    /// Gives a note to all anchors.
    async fn anchor(&self, note: &Note) {
        for anchor in self.anchors() {
            anchor.keep(note).await.unwrap();
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.bus.ledger.ledger
    }

    fn stream(&self) -> AnchorStream {
        AnchorStream::new(self.broker.clone())
    }

    fn anchors(&self) -> Vec<Arc<dyn Anchor>> {
        vec![Arc::new(self.stream()), Arc::new(AnchorFile::new(self.folder.path().join("anchors")))]
    }

    fn start_sealer(&self) -> Sealer {
        self.start_sealer_with(self.anchors(), |_| ())
    }

    fn start_sealer_with(&self, anchors: Vec<Arc<dyn Anchor>>, change: impl FnOnce(&mut Config)) -> Sealer {
        let mut config = Config {
            max_batch_events: 1_000,
            queue_poll_interval: Duration::from_millis(5),
            stopped_plan_retry_interval: Duration::from_mins(1),
            checkpoint_interval: Duration::from_millis(20),
            heartbeat_interval: Duration::from_millis(200),
            measure_interval: Duration::from_millis(50),
        };
        change(&mut config);
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let resources = Resources {
            ledger: self.ledger().clone(),
            broker: self.broker.clone(),
            signer: self.signer.clone(),
            witnesses: None,
            anchors,
            clock: Arc::new(SystemClock),
            metrics: metrics.clone(),
        };
        let shutdown = CancellationToken::new();
        Sealer { task: tokio::spawn(run(config, resources, shutdown.clone())), shutdown, metrics, registry }
    }

    /// Waits until the log has this number of leaves.
    async fn log_size_becomes(&self, size: u64) {
        eventually_eq("the number of leaves", size, async || self.ledger().log().size().await.unwrap()).await;
    }

    async fn append(&self, plan: &str, count: u64) {
        append(&self.appender, "acme", plan, (0..count).map(events::numbered).collect()).await;
    }

    /// Waits until the checkpoint that readers are shown has this size.
    async fn shown_size_becomes(&self, size: u64) {
        eventually_eq("the size of the shown checkpoint", size, async || {
            self.ledger().log().shown_checkpoint().await.unwrap().map_or(0, |(size, _)| size)
        })
        .await;
    }

    /// Changes the database without firing its triggers.
    async fn tamper(&self, sql: &str) {
        self.bus.postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
    }

    /// Saves the log as it is, for [`Scene::put_log_back`].
    async fn save_log(&self) {
        let save = LOG_TABLES.map(|table| format!("CREATE TABLE public.{table} AS SELECT * FROM sealbus.{table}"));
        self.bus.postgres.admin(&save.join("; ")).await;
    }

    async fn put_log_back(&self) {
        let put_back = LOG_TABLES.map(|table| {
            format!("DELETE FROM sealbus.{table}; INSERT INTO sealbus.{table} SELECT * FROM public.{table}")
        });
        self.tamper(&put_back.join("; ")).await;
    }

    /// Returns all checkpoints of an anchor. Each must be signed by the log.
    async fn anchored(&self, anchor: &dyn Anchor) -> Vec<Checkpoint> {
        let key = self.signer.verifier_key();
        let open = |note: &Vec<u8>| {
            let note = Note::parse(note).unwrap();
            SignedCheckpoint::open(&note, ORIGIN, std::slice::from_ref(&key)).unwrap().checkpoint().clone()
        };
        anchor.notes(true).await.unwrap().iter().map(open).collect()
    }

    /// Checks that each checkpoint is one of the tree in the ledger.
    async fn assert_roots_are_in_the_ledger(&self, checkpoints: &[Checkpoint]) {
        for checkpoint in checkpoints.iter().filter(|checkpoint| checkpoint.size() > 0) {
            let root = self.ledger().log().root_by_tiles(checkpoint.size()).await.unwrap();
            assert_eq!(root, Some(checkpoint.root()), "the ledger has another root of size {}", checkpoint.size());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_events_are_signed_anchored_and_shown() {
    let scene = Scene::initialised().await;

    // Seal events that were appended before the sealer started, and then more.
    scene.append("order-1", 300).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(301).await;
    scene.append("order-2", 7).await;
    scene.shown_size_becomes(308).await;

    // Append nothing. The same tree is signed again with a later time.
    let shown = scene.ledger().log().shown_checkpoint().await.unwrap();
    eventually("a heartbeat is shown", async || scene.ledger().log().shown_checkpoint().await.unwrap() != shown).await;

    // Every anchor gets the newest checkpoint, and has the first one.
    let tree = scene.ledger().log().newest_tree().await.unwrap();
    let newest = Checkpoint::new(ORIGIN, tree.size, tree.root).unwrap();
    for anchor in scene.anchors() {
        eventually(&format!("{} has the newest checkpoint", anchor.name()), async || {
            scene.anchored(anchor.as_ref()).await.last() == Some(&newest)
        })
        .await;
    }
    sealer.stop().await;
    for anchor in scene.anchors() {
        let anchored = scene.anchored(anchor.as_ref()).await;
        assert_eq!(anchored[0].size(), 0, "{}", anchor.name());
        scene.assert_roots_are_in_the_ledger(&anchored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_backlog_and_stopped_plans_are_measured() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 3).await;
    let sealer = scene.start_sealer_with(scene.anchors(), |config| {
        config.stopped_plan_retry_interval = Duration::from_millis(50);
    });

    // The ledger's first event and three others. Every checkpoint is renewed by heartbeats.
    for checkpoint in ["stored", "anchored", "shown"] {
        sealer.shows(&format!("sealbus_sealer_checkpoint_size{{checkpoint=\"{checkpoint}\"}}"), "4").await;
    }

    // An event is changed before it is sealed. Its plan is stopped, and the events wait in the queue.
    let change = "CREATE FUNCTION sealbus.change() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.actor := NEW.actor || ''!''; RETURN NEW; END';
        CREATE TRIGGER change BEFORE INSERT ON sealbus.events FOR EACH ROW EXECUTE FUNCTION sealbus.change()";
    scene.bus.postgres.admin(change).await;
    scene.append("order-2", 2).await;
    sealer.shows("sealbus_sealer_stopped_now", "1").await;
    sealer.shows("sealbus_sealer_queued", "2").await;

    // The events are restored, and get their leaves when the plan is tried again.
    scene.tamper("UPDATE sealbus.events SET actor = rtrim(actor, '!')").await;
    sealer.shows("sealbus_sealer_stopped_now", "0").await;
    sealer.shows("sealbus_sealer_queued", "0").await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_roots_of_anchored_checkpoints_are_kept() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 300).await;
    let sealer = scene.start_sealer_with(vec![Arc::new(scene.stream())], |config| {
        config.max_batch_events = 1;
        config.checkpoint_interval = Duration::from_millis(200);
    });
    scene.shown_size_becomes(301).await;
    sealer.stop().await;

    let anchored = scene.anchored(&scene.stream()).await;
    let anchored = Vec::from_iter(anchored.iter().map(Checkpoint::size).collect::<BTreeSet<u64>>());
    let count = i64::try_from(anchored.len()).unwrap();
    let roots = "SELECT count(*) FROM sealbus.log_roots";
    assert_eq!(scene.bus.postgres.count(&format!("{roots} WHERE size = ANY (ARRAY{anchored:?})")).await, count);
    assert_eq!(scene.bus.postgres.count(roots).await, count, "a root that is not anchored was kept");
    assert!(count < 301, "each transaction was anchored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_a_sealer_left_unanchored_is_anchored_by_the_next_one() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 5).await;

    // Seal without anchoring, as if a sealer had been killed in between.
    scene.bus.seal().await;

    let sealer = scene.start_sealer();
    scene.shown_size_becomes(6).await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_continues_while_one_of_two_anchors_is_unreachable() {
    let mut scene = Scene::initialised().await;
    let sealer = scene.start_sealer();
    scene.append("order-1", 1).await;
    scene.shown_size_becomes(2).await;

    // Stop the broker: the checkpoint goes to the file alone.
    scene.bus.nats.kill().await;
    scene.append("order-1", 1).await;
    scene.shown_size_becomes(3).await;

    // Start the broker again: a heartbeat brings the newest checkpoint to the stream.
    scene.bus.nats.restart().await;
    let stream = scene.stream();
    eventually("the stream has the newest checkpoint", async || {
        stream.notes(true).await.is_ok_and(|notes| {
            notes.iter().any(|note| String::from_utf8_lossy(note).starts_with(&format!("{ORIGIN}\n3\n")))
        })
    })
    .await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_get_their_leaves_before_the_log_is_initialised_and_are_signed_after() {
    let scene = Scene::start().await;
    let sealer = scene.start_sealer();
    sealer.refuses("not_initialised").await;
    scene.append("order-1", 3).await;
    scene.log_size_becomes(4).await;
    assert_eq!(scene.ledger().log().newest_note().await.unwrap(), None, "a tree was signed");

    scene.initialise().await;
    scene.shown_size_becomes(4).await;
    assert!(!sealer.metrics.refuses("not_initialised"));
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_get_their_leaves_beside_emptied_anchors_and_are_signed_once_these_are_restored() {
    let scene = Scene::start().await;
    let (first, _) = scene.ledger().log().begin(&scene.signer, 1_000).await.unwrap();
    let sealer = scene.start_sealer();
    sealer.refuses("not_anchored").await;
    scene.append("order-1", 3).await;
    scene.log_size_becomes(4).await;
    scene.append("order-2", 3).await;
    scene.log_size_becomes(7).await;
    assert_eq!(scene.ledger().log().newest_note().await.unwrap(), Some(first.to_string()), "a tree was signed");

    scene.anchor(&first).await;
    scene.shown_size_becomes(7).await;
    sealer.stop().await;
    scene.assert_roots_are_in_the_ledger(&scene.anchored(&scene.stream()).await).await;
}

/// An anchor file that records how it is used, and may hang.
struct Watched {
    file: AnchorFile,
    /// The size up to which it keeps checkpoints. It never answers to a larger one.
    answers_up_to: u64,
    /// The size of the checkpoint that it was given last.
    given: watch::Sender<u64>,
    /// How often it was given a checkpoint.
    keeps: AtomicUsize,
    /// How often it was read.
    reads: watch::Sender<u64>,
    unreadable: AtomicBool,
}

#[async_trait]
impl Anchor for Watched {
    fn name(&self) -> String {
        self.file.name()
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let size = note.text().parse::<Checkpoint>().unwrap().size();
        self.keeps.fetch_add(1, Ordering::Relaxed);
        self.given.send_replace(size);
        if size > self.answers_up_to {
            std::future::pending::<()>().await;
        }
        self.file.keep(note).await
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        self.reads.send_modify(|reads| *reads += 1);
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(AnchorError::TimedOut);
        }
        self.file.notes(all).await
    }
}

impl Scene {
    fn watched(&self, answers_up_to: u64) -> Arc<Watched> {
        let file = AnchorFile::new(self.folder.path().join("anchors"));
        let (given, reads) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Watched {
            file,
            answers_up_to,
            given,
            keeps: AtomicUsize::new(0),
            reads,
            unreadable: AtomicBool::new(false),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealer_that_knows_an_older_checkpoint_signs_nothing_after_a_failover_that_lost_leaves() {
    let postgres = Postgres::own_cluster().await;
    let mut scene = Scene::on(TestBus::on(postgres, ORIGIN).await).await;
    scene.initialise().await;
    let file = scene.watched(u64::MAX);
    let sealer = scene.start_sealer_with(vec![file.clone(), Arc::new(scene.stream())], |_| ());
    scene.append("order-1", 10).await;
    scene.shown_size_becomes(11).await;

    // Another sealer has anchored a larger tree, whose leaves the promoted server lacks.
    scene.bus.ledger.postgres.kill().await;
    let lost = Checkpoint::new(ORIGIN, 21, Hash::of(b"the tree that was lost")).unwrap();
    scene.anchor(&scene.signer.sign(&lost, 2_000).unwrap()).await;
    scene.bus.ledger.postgres.restart().await;
    scene.append("order-1", 1).await;
    sealer.refuses("rolled_back").await;

    // The event waits while the sealer reads the anchors again and decides once more.
    let reads = *file.reads.borrow();
    file.reads.subscribe().wait_for(|now| *now >= reads + 2).await.unwrap();
    sealer.stop().await;

    // Nothing was signed beside what was lost, and no leaf took the place of a lost one.
    assert_eq!(scene.ledger().log().size().await.unwrap(), 11);
    for anchor in scene.anchors() {
        let sizes: Vec<u64> = scene.anchored(anchor.as_ref()).await.iter().map(Checkpoint::size).collect();
        assert!(sizes.iter().all(|size| *size <= 11 || *size == 21), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&21), "{}", anchor.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_hangs_delays_no_checkpoint() {
    let scene = Scene::initialised().await;
    let hanging = scene.watched(0);
    let sealer = scene.start_sealer_with(vec![hanging.clone(), Arc::new(scene.stream())], |_| ());
    for size in 2..=6 {
        scene.append("order-1", 1).await;
        scene.shown_size_becomes(size).await;
    }
    // It gets another checkpoint only when it was given up.
    assert!(hanging.keeps.load(Ordering::Relaxed) < 5, "each checkpoint waited for the anchor");
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_checkpoint_that_is_being_anchored_counts_when_its_leaves_are_lost() {
    let scene = Scene::initialised().await;
    let anchor = scene.watched(1);
    let sealer = scene.start_sealer_with(vec![anchor.clone()], |_| ());
    scene.shown_size_becomes(1).await;
    scene.save_log().await;
    scene.append("order-1", 2).await;
    anchor.given.subscribe().wait_for(|size| *size == 3).await.unwrap();

    // The anchor is not readable either. The database is as it was before these leaves, and an event waits.
    anchor.unreadable.store(true, Ordering::Relaxed);
    scene.put_log_back().await;
    scene.append("order-2", 1).await;
    sealer.refuses("rolled_back").await;
    sealer.stop().await;
    assert_eq!(scene.ledger().log().size().await.unwrap(), 1, "a leaf took the place of a lost one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_heartbeat_counts_when_the_anchors_hold_another_tree_of_its_size() {
    // Two histories of three leaves. The database is put back to the second one later.
    let scene = Scene::initialised().await;
    scene.append("order-1", 2).await;
    scene.bus.seal().await;
    let other = scene.ledger().log().newest_tree().await.unwrap();
    scene.save_log().await;
    scene
        .tamper(
            "TRUNCATE sealbus.tiles; DELETE FROM sealbus.log_roots WHERE size > 0; \
             UPDATE sealbus.log_leaves SET leaf_hash = sha256('first history') WHERE leaf_index = 2",
        )
        .await;
    scene.bus.seal().await;

    // The sealer signs a heartbeat of the first history, and the anchor hangs while it keeps that.
    let anchor = scene.watched(0);
    let sealer = scene.start_sealer_with(vec![anchor.clone()], |_| ());
    anchor.given.subscribe().wait_for(|size| *size == 3).await.unwrap();

    // Another sealer anchors the second history, and this one gets its database.
    let other = Checkpoint::new(ORIGIN, other.size, other.root).unwrap();
    anchor.file.keep(&scene.signer.sign(&other, 2_000).unwrap()).await.unwrap();
    scene.put_log_back().await;
    scene.append("order-2", 1).await;
    sealer.refuses("root_mismatch").await;
    sealer.stop().await;
    assert_eq!(scene.ledger().log().size().await.unwrap(), 3, "an event got a leaf in another history");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_lets_an_idle_sealer_notice_that_the_database_was_rolled_back() {
    let scene = Scene::initialised().await;
    let sealer = scene.start_sealer_with(scene.anchors(), |config| {
        config.stopped_plan_retry_interval = Duration::from_hours(1);
    });
    scene.shown_size_becomes(1).await;
    scene.save_log().await;
    scene.append("order-1", 2).await;
    scene.shown_size_becomes(3).await;

    // Nothing is queued from here on.
    scene.put_log_back().await;
    sealer.refuses("rolled_back").await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_rolled_back_is_not_signed() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 20).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(21).await;
    sealer.stop().await;

    // Leave the database as after a restore of an older backup: it has fewer leaves, and the correct tree of them.
    scene
        .tamper(
            "TRUNCATE sealbus.tiles, sealbus.checkpoints; DELETE FROM sealbus.log_roots WHERE size > 0; \
             DELETE FROM sealbus.log_leaves WHERE leaf_index >= 10",
        )
        .await;
    scene.bus.seal().await;

    // An event waits in the seal queue when the sealer looks at it first. The sealer ends after that step.
    scene.append("order-2", 1).await;
    let sealer = scene.start_sealer();
    sealer.refuses("rolled_back").await;
    sealer.stop().await;
    assert_eq!(scene.ledger().log().size().await.unwrap(), 10, "a leaf took the place of a lost one");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_of_the_same_length_is_not_signed() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 20).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(21).await;
    sealer.stop().await;

    // Replace a leaf, and let the tree be built again.
    scene
        .tamper(
            "TRUNCATE sealbus.tiles; DELETE FROM sealbus.log_roots WHERE size > 0; \
             UPDATE sealbus.log_leaves SET leaf_hash = sha256('forged') WHERE leaf_index = 7",
        )
        .await;
    scene.bus.seal().await;

    let sealer = scene.start_sealer();
    sealer.refuses("root_mismatch").await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sealers_make_one_log() {
    let scene = Scene::initialised().await;
    let sealers = [scene.start_sealer(), scene.start_sealer()];
    for plan in 0..30 {
        scene.append(&format!("order-{plan}"), 10).await;
    }
    scene.shown_size_becomes(301).await;
    for sealer in sealers {
        sealer.stop().await;
    }
    scene.assert_roots_are_in_the_ledger(&scene.anchored(&scene.stream()).await).await;
}
