//! A ledger with a file as its anchor, sealers that run on it, and their log output.

use std::io;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::{Appender, Call, Expect};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::telemetry::metrics::Registry;
use sealbus_sealer::anchors::{Anchor, AnchorFile};
use sealbus_sealer::{Config, Metrics, Resources, Witnesses, run};
use sealbus_testkit::{Nats, Postgres, TestLedger, events};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a witness may take to answer.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Scene {
    _postgres: Postgres,
    _nats: Nats,
    broker: Broker,
    folder: TempDir,
    ledger: Ledger,
    keyring: Keyring,
    pub origin: String,
    pub signer: LogSigner,
}

impl Scene {
    /// Creates a ledger with an initialised log. Scenes with the same number have the same origin and log key.
    pub(crate) async fn start(number: u8) -> Self {
        capture_log();
        let origin = format!("test.example/cosigning-{number}");
        let TestLedger { postgres, ledger, keyring } = TestLedger::create(Postgres::start().await, &origin).await;
        let signer = LogSigner::new(&keyring, &origin).unwrap();
        let nats = Nats::start().await;
        let (broker, folder) = (nats.connect().await, tempfile::tempdir().unwrap());
        let scene = Self { _postgres: postgres, _nats: nats, broker, folder, ledger, keyring, origin, signer };
        let (first, _) = scene.ledger.log().begin(&scene.signer, 1_000).await.unwrap();
        scene.anchor().keep(&first).await.unwrap();
        scene
    }

    /// Returns a policy with this log, these witnesses and this quorum.
    pub(crate) fn policy(&self, witnesses: &[String], quorum: &str) -> Policy {
        let file = format!("log {}\n{}\n{quorum}\n", self.signer.verifier_key(), witnesses.join("\n"));
        Policy::parse(file.as_bytes()).unwrap()
    }

    pub(crate) fn seal(&self, policy: &Policy) -> Sealing {
        let config = Config {
            max_batch_events: 1_000,
            queue_poll_interval: Duration::from_millis(5),
            stopped_plan_retry_interval: Duration::from_mins(1),
            checkpoint_interval: Duration::from_millis(20),
            heartbeat_interval: Duration::from_millis(200),
            measure_interval: Duration::from_secs(10),
        };
        let witnesses = Some(
            Witnesses::new(policy.clone(), &self.signer.verifier_key(), WITNESS_TIMEOUT, Arc::new(SystemClock))
                .unwrap(),
        );
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let anchors: Vec<Arc<dyn Anchor>> = vec![Arc::new(self.anchor())];
        let (ledger, broker, signer) = (self.ledger.clone(), self.broker.clone(), self.signer.clone());
        let resources = Resources { ledger, broker, signer, witnesses, anchors, clock: Arc::new(SystemClock), metrics };
        let shutdown = CancellationToken::new();
        Sealing { task: tokio::spawn(run(config, resources, shutdown.clone())), shutdown, registry }
    }

    pub(crate) async fn append(&self, plan: &str, count: u64) {
        let appender =
            Appender::start(&self.ledger, &self.keyring, &sealbus_testkit::ledger::append_settings(), None).unwrap();
        let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse(plan).unwrap());
        let events = (0..count).map(events::numbered).collect();
        appender.append(Call { tenant, plan, expect: Expect::Any, events }).await.unwrap();
    }

    pub(crate) async fn shown_size(&self) -> u64 {
        self.ledger.log().shown_checkpoint().await.unwrap().map_or(0, |(size, _)| size)
    }

    pub(crate) async fn shown(&self) -> Note {
        Note::parse(self.ledger.log().shown_checkpoint().await.unwrap().unwrap().1.as_bytes()).unwrap()
    }

    /// Returns the newest anchored note.
    pub(crate) async fn anchored(&self) -> Note {
        Note::parse(self.anchor().notes(true).await.unwrap().last().unwrap()).unwrap()
    }

    pub(crate) fn size(note: &Note) -> u64 {
        note.text().parse::<Checkpoint>().unwrap().size()
    }

    /// Returns the names of the witnesses that validly cosigned a note.
    pub(crate) fn cosigners(&self, policy: &Policy, note: &Note) -> Vec<String> {
        let signed = policy.open(note, &self.origin).unwrap();
        let quorum = policy.quorum(&signed, SystemClock.unix_seconds());
        quorum.witnesses.iter().map(|witness| String::from_utf8(witness.name.clone()).unwrap()).collect()
    }

    /// Returns the times of the witnesses' cosignatures.
    pub(crate) fn times(&self, policy: &Policy, note: &Note) -> Vec<u64> {
        let signed = policy.open(note, &self.origin).unwrap();
        signed.cosignatures(SystemClock.unix_seconds()).filter(|by| !by.by_log).map(|by| by.time).collect()
    }

    fn anchor(&self) -> AnchorFile {
        AnchorFile::new(self.folder.path().join("anchors"))
    }
}

pub(crate) struct Sealing {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    registry: Registry,
}

impl Sealing {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    pub(crate) fn metrics(&self) -> String {
        sealbus_runtime::telemetry::metrics::exposition(&self.registry)
    }
}

static LOG: Mutex<String> = Mutex::new(String::new());

/// Returns whether any sealer of this process has logged a line with all of these texts.
pub(crate) fn logged(words: &[&str]) -> bool {
    LOG.lock().unwrap().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init());
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
