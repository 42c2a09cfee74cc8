//! A bus with two anchors, sealers that run on it, and an anchor that may hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sealbus_broker::Broker;
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
use sealbus_testkit::{TestBus, events, eventually, eventually_eq};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const ORIGIN: &str = "test.example/sealer";
pub(crate) const LOG_TABLES: [&str; 3] = ["tiles", "log_leaves", "log_roots"];

/// A bus, and two anchors: the stream of its broker, and a file.
pub(crate) struct Scene {
    pub(crate) bus: TestBus,
    pub(crate) broker: Broker,
    pub(crate) appender: Appender,
    pub(crate) folder: TempDir,
    pub(crate) signer: LogSigner,
}

/// A running sealer.
pub(crate) struct Sealer {
    registry: Registry,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) metrics: Metrics,
}

impl Sealer {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Waits until the sealer refuses to sign for this reason.
    pub(crate) async fn refuses(&self, reason: &'static str) {
        eventually(&format!("the sealer refuses: {reason}"), async || self.metrics.refuses(reason)).await;
    }

    /// Waits until a metric has this value, written as in the text format.
    pub(crate) async fn shows(&self, metric: &str, value: &str) {
        let line = format!("{metric} {value}");
        eventually(&format!("the metrics have {line}"), async || {
            exposition(&self.registry).lines().any(|shown| shown == line)
        })
        .await;
    }
}

impl Scene {
    /// Starts a bus whose log is not initialised.
    pub(crate) async fn start() -> Self {
        Self::on(TestBus::start(ORIGIN).await).await
    }

    pub(crate) async fn on(bus: TestBus) -> Self {
        let broker = bus.connect_with_streams().await;
        let appender = bus.appender().await;
        let signer = LogSigner::new(&bus.keyring, ORIGIN).unwrap();
        Self { bus, broker, appender, folder: tempfile::tempdir().unwrap(), signer }
    }

    /// Starts a bus whose log is initialised as by `sealbus log init`.
    pub(crate) async fn initialised() -> Self {
        let scene = Self::start().await;
        scene.initialise().await;
        scene
    }

    pub(crate) async fn initialise(&self) {
        let (first, _) = self.ledger().log().begin(&self.signer, 1_000).await.unwrap();
        self.anchor(&first).await;
    }

    /// Gives a note to all anchors.
    pub(crate) async fn anchor(&self, note: &Note) {
        for anchor in self.anchors() {
            anchor.keep(note).await.unwrap();
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.bus.ledger.ledger
    }

    pub(crate) fn stream(&self) -> AnchorStream {
        AnchorStream::new(self.broker.clone())
    }

    pub(crate) fn anchors(&self) -> Vec<Arc<dyn Anchor>> {
        vec![Arc::new(self.stream()), Arc::new(AnchorFile::new(self.folder.path().join("anchors")))]
    }

    pub(crate) fn watched(&self, answers_up_to: u64) -> Arc<Watched> {
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

    pub(crate) fn start_sealer(&self) -> Sealer {
        self.start_sealer_with(self.anchors(), |_| ())
    }

    pub(crate) fn start_sealer_with(&self, anchors: Vec<Arc<dyn Anchor>>, change: impl FnOnce(&mut Config)) -> Sealer {
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
    pub(crate) async fn log_size_becomes(&self, size: u64) {
        eventually_eq("the number of leaves", size, async || self.ledger().log().size().await.unwrap()).await;
    }

    pub(crate) async fn append(&self, plan: &str, count: u64) {
        append(&self.appender, "acme", plan, (0..count).map(events::numbered).collect()).await;
    }

    /// Waits until the checkpoint that readers are shown has this size.
    pub(crate) async fn shown_size_becomes(&self, size: u64) {
        eventually_eq("the size of the shown checkpoint", size, async || {
            self.ledger().log().shown_checkpoint().await.unwrap().map_or(0, |(size, _)| size)
        })
        .await;
    }

    /// Changes the database without firing its triggers.
    pub(crate) async fn tamper(&self, sql: &str) {
        self.bus.postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
    }

    /// Changes leaves by these statements, and lets the tree and its roots be built again.
    pub(crate) async fn change_leaves(&self, sql: &str) {
        self.tamper(&format!("TRUNCATE sealbus.tiles; DELETE FROM sealbus.log_roots WHERE size > 0; {sql}")).await;
        self.bus.seal().await;
    }

    /// Checks that a sealer refuses to sign for this reason, stops it, and checks that no event got a leaf beyond this size.
    pub(crate) async fn refused_without_new_leaves(&self, sealer: Sealer, reason: &'static str, size: u64) {
        sealer.refuses(reason).await;
        sealer.stop().await;
        assert_eq!(self.ledger().log().size().await.unwrap(), size, "an event got a leaf in another history");
    }

    /// Saves the log as it is, for [`Scene::put_log_back`].
    pub(crate) async fn save_log(&self) {
        let save = LOG_TABLES.map(|table| format!("CREATE TABLE public.{table} AS SELECT * FROM sealbus.{table}"));
        self.bus.postgres.admin(&save.join("; ")).await;
    }

    pub(crate) async fn put_log_back(&self) {
        let put_back = LOG_TABLES.map(|table| {
            format!("DELETE FROM sealbus.{table}; INSERT INTO sealbus.{table} SELECT * FROM public.{table}")
        });
        self.tamper(&put_back.join("; ")).await;
    }

    /// Returns all checkpoints of an anchor. Each must be signed by the log.
    pub(crate) async fn anchored(&self, anchor: &dyn Anchor) -> Vec<Checkpoint> {
        let key = self.signer.verifier_key();
        let open = |note: &Vec<u8>| {
            let note = Note::parse(note).unwrap();
            SignedCheckpoint::open(&note, ORIGIN, std::slice::from_ref(&key)).unwrap().checkpoint().clone()
        };
        anchor.notes(true).await.unwrap().iter().map(open).collect()
    }

    /// Checks that each checkpoint is one of the tree in the ledger.
    pub(crate) async fn assert_roots_are_in_the_ledger(&self, checkpoints: &[Checkpoint]) {
        for checkpoint in checkpoints.iter().filter(|checkpoint| checkpoint.size() > 0) {
            let root = self.ledger().log().root_by_tiles(checkpoint.size()).await.unwrap();
            assert_eq!(root, Some(checkpoint.root()), "the ledger has another root of size {}", checkpoint.size());
        }
    }
}

/// An anchor file that records how it is used, and may hang.
pub(crate) struct Watched {
    pub(crate) file: AnchorFile,
    /// The size up to which it keeps checkpoints. It never answers to a larger one.
    answers_up_to: u64,
    /// The size of the checkpoint that it was given last.
    pub(crate) given: watch::Sender<u64>,
    /// How often it was given a checkpoint.
    pub(crate) keeps: AtomicUsize,
    /// How often it was read.
    pub(crate) reads: watch::Sender<u64>,
    pub(crate) unreadable: AtomicBool,
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
