//! A log in memory, a witness on a temporary folder, and a server of it.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_client::WitnessClient;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{self, ProofNodes};
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::{EdgeTiles, Tiles};
use sealbus_core::log::witness::AddCheckpoint;
use sealbus_core::seal::{KeyKind, Keyring, PublicKey};
use sealbus_core::timestamp::Timestamp;
use sealbus_runtime::memory::Budget;
use sealbus_runtime::net::ConnectionLimits;
use sealbus_runtime::telemetry::metrics::{Registry, exposition, registry};
use sealbus_witness::{Config, FolderError, Metrics, Resources, Witness, WitnessError, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const ORIGIN: &str = "bus.test/one";
pub(crate) const OTHER: &str = "bus.test/two";
pub(crate) const NAME: &str = "witness.test/w";
/// The initial time of a [`Clock`], in seconds since 1970.
pub(crate) const TIME: u64 = 1_700_000_000;
/// A timeout that only a defect exceeds.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Returns a key of a keyring file. Its seed is derived from `number`.
pub(crate) fn key(kind: KeyKind, number: u8, status: &str) -> Value {
    let seed: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(11) ^ number);
    let id = kind.id_of_public(PublicKey::of_seed(&seed).as_bytes());
    json!({ "id": id, "secret": STANDARD.encode(seed), "status": status })
}

pub(crate) fn keyring(keys: &[Value]) -> Keyring {
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// The keyring of the witness under test.
pub(crate) fn witness_keys() -> Keyring {
    keyring(&[key(KeyKind::Witness, 2, "active")])
}

/// A log of any size. Logs of the same origin and different `branch` have the same key and the same first three leaves.
pub(crate) struct Log {
    pub signer: LogSigner,
    origin: &'static str,
    branch: &'static str,
}

impl Log {
    pub(crate) fn new(origin: &'static str, branch: &'static str) -> Self {
        let signer = LogSigner::new(&keyring(&[key(KeyKind::Log, 1, "active")]), origin).unwrap();
        Self { signer, origin, branch }
    }

    fn tree(&self, size: u64) -> (Hash, Tiles) {
        let leaf = |index| format!("leaf {index}{}", if index < 3 { "" } else { self.branch });
        let leaves: Vec<Hash> = (0..size).map(|index| merkle::leaf_hash(leaf(index).as_bytes())).collect();
        let mut edge = EdgeTiles::default();
        let mut tiles = Tiles::default();
        edge.append(&leaves).unwrap().into_iter().for_each(|tile| tiles.insert(tile));
        (edge.root(), tiles)
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(self.origin, size, self.tree(size).0).unwrap()
    }

    pub(crate) fn note(&self, size: u64) -> Note {
        self.signer.sign(&self.checkpoint(size), TIME).unwrap()
    }

    pub(crate) fn proof(&self, old: u64, size: u64) -> Vec<Hash> {
        let tiles = self.tree(size).1;
        ProofNodes::consistency(old, size).unwrap().prove(|node| tiles.hash(node)).unwrap()
    }

    pub(crate) fn request(&self, old: u64, size: u64) -> AddCheckpoint {
        AddCheckpoint::new(old, self.proof(old, size), self.note(size)).unwrap()
    }
}

pub(crate) fn log() -> Log {
    Log::new(ORIGIN, "")
}

pub(crate) fn fork() -> Log {
    Log::new(ORIGIN, " of the other history")
}

/// Returns the policy of these logs, each with its own key. The first one has the key of [`Log`].
pub(crate) fn policy(origins: &[&str]) -> Policy {
    let line = |(number, origin): (u8, &&str)| {
        let keys = keyring(&[key(KeyKind::Log, number, "active")]);
        format!("log {}\n", LogSigner::new(&keys, origin).unwrap().verifier_key())
    };
    let logs: Vec<String> = (1..).zip(origins).map(line).collect();
    Policy::parse(format!("{}quorum none\n", logs.concat()).as_bytes()).unwrap()
}

/// A clock that a test sets.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(TIME)))
    }

    pub(crate) fn set(&self, time: u64) {
        self.0.store(time, Ordering::SeqCst);
    }
}

impl sealbus_core::clock::Clock for Clock {
    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.0.load(Ordering::SeqCst)).unwrap();
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }
}

/// The folder and the clock of a witness.
pub(crate) struct Place {
    pub folder: TempDir,
    pub clock: Clock,
}

impl Place {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Clock::new() }
    }

    /// Returns the folder of a witness that has begun with [`ORIGIN`].
    pub(crate) fn begun() -> Self {
        let place = Self::empty();
        place.begin(ORIGIN).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file of a log with this ending.
    pub(crate) fn file(&self, origin: &str, ending: &str) -> PathBuf {
        self.path().join(format!("{}.{ending}", Hash::of(origin.as_bytes())))
    }

    pub(crate) fn note(&self) -> Note {
        Note::parse(&std::fs::read(self.file(ORIGIN, "note")).unwrap()).unwrap()
    }

    pub(crate) fn begin(&self, origin: &str) -> Result<(), WitnessError> {
        let policy = policy(&[ORIGIN, OTHER]);
        Witness::begin(origin, NAME, &witness_keys(), &policy, self.path(), &self.clock)
    }

    pub(crate) fn open(&self) -> Result<Witness, WitnessError> {
        self.open_as(NAME, &witness_keys(), policy(&[ORIGIN]))
    }

    pub(crate) fn open_as(&self, name: &str, keys: &Keyring, policy: Policy) -> Result<Witness, WitnessError> {
        Witness::open(name, keys, policy, self.path(), Arc::new(self.clock.clone()))
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::start(self.open().unwrap(), |_| {}).await
    }
}

/// A response, read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompleteResponse {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

pub(crate) struct Server {
    pub url: String,
    pub registry: Registry,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), FolderError>>,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(witness: Witness, configure: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::new(
            listener,
            ConnectionLimits { headers: LONG, write: LONG, drain: LONG, first_request: LONG, connections: 1_024 },
            Budget::new("tests", 32 << 20),
        );
        configure(&mut config);
        let mut registry = registry();
        let resources = Resources { witness, metrics: Metrics::register(&mut registry) };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(config, resources, shutdown.clone()));
        Self { url, registry, shutdown, task, http: reqwest::Client::new() }
    }

    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> CompleteResponse {
        let response = self.http.post(format!("{}/add-checkpoint", self.url)).body(body).send().await.unwrap();
        let content_type = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let content_type = content_type.unwrap_or_default();
        CompleteResponse { status, content_type, body: response.text().await.unwrap() }
    }

    pub(crate) async fn submit(&self, request: &AddCheckpoint) -> CompleteResponse {
        self.post(request.to_string()).await
    }

    pub(crate) fn client(&self) -> WitnessClient {
        client(&self.url)
    }

    /// Returns the metrics as text.
    pub(crate) fn metrics(&self) -> String {
        exposition(&self.registry)
    }

    /// Stops the server and returns its result.
    pub(crate) async fn stop(self) -> Result<(), FolderError> {
        self.shutdown.cancel();
        drop(self.http);
        timeout(LONG, self.task).await.expect("the server did not stop").expect("the server panicked")
    }
}

/// Returns a client that pins the key of the witness under test.
pub(crate) fn client(url: &str) -> WitnessClient {
    WitnessClient::new(url, verifier_key(), LONG).unwrap()
}

pub(crate) fn verifier_key() -> sealbus_core::log::note::VerifierKey {
    sealbus_core::log::signer::WitnessSigner::new(&witness_keys(), NAME).unwrap().verifier_key()
}
