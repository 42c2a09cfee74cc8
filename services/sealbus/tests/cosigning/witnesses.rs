//! Witnesses: real ones of `sealbus-witness`, and faulty ones.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use sealbus_core::clock::Clock as _;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::memory::Budget;
use sealbus_runtime::net::ConnectionLimits;
use sealbus_runtime::telemetry::metrics::Registry;
use sealbus_testkit::eventually;
use sealbus_witness::{Config, Metrics, Resources, Witness, run};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::scene::Scene;

/// A witness that can be started and stopped: its name, key, folder, and the port in the policy.
pub(crate) struct TestWitness {
    name: &'static str,
    keyring: Keyring,
    origin: String,
    policy: Policy,
    folder: TempDir,
    pub port: Cell<u16>,
}

pub(crate) struct Serving {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

impl TestWitness {
    /// Creates a witness that follows the scene's log and has seen no tree of it.
    pub(crate) fn new(scene: &Scene, name: &'static str, number: u8) -> Self {
        let seed = std::array::from_fn(|index| u8::try_from(index).unwrap() ^ (number << 1 | 128));
        let keyring = Keyring::parse(&Keyring::generate(KeyKind::Witness, &seed).unwrap()).unwrap();
        let policy = scene.policy(&[], "quorum none");
        let folder = tempfile::tempdir().unwrap();
        Witness::begin(&scene.origin, name, &keyring, &policy, folder.path(), &SystemClock).unwrap();
        Self { name, keyring, origin: scene.origin.clone(), policy, folder, port: Cell::new(0) }
    }

    /// Serves on this port; 0 selects a free one, which is stored.
    pub(crate) async fn serve(&self, port: u16) -> Serving {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        self.port.set(listener.local_addr().unwrap().port());
        let minute = Duration::from_mins(1);
        let drain = Duration::from_millis(100);
        let first_request = Duration::ZERO;
        let limits = ConnectionLimits { headers: minute, write: minute, drain, first_request, connections: 100 };
        let open =
            || Witness::open(self.name, &self.keyring, self.policy.clone(), self.folder.path(), Arc::new(SystemClock));
        // A cosignature that a stopped witness has begun keeps the folder until it is stored.
        let mut witness = None;
        eventually("the folder is free", async || {
            witness = open().ok();
            witness.is_some()
        })
        .await;
        let metrics = Metrics::register(&mut Registry::default());
        let (shutdown, resources) = (CancellationToken::new(), Resources { witness: witness.unwrap(), metrics });
        let serving = run(Config::new(listener, limits, Budget::new("tests", 32 << 20)), resources, shutdown.clone());
        Serving { shutdown, task: tokio::spawn(async move { serving.await.unwrap() }) }
    }

    /// Returns the witness's line of a policy.
    pub(crate) fn line(&self) -> String {
        let key = self.signer().verifier_key();
        format!("witness {} {key} http://127.0.0.1:{}", self.name, self.port.get())
    }

    fn signer(&self) -> WitnessSigner {
        WitnessSigner::new(&self.keyring, self.name).unwrap()
    }
}

/// Serves a witness that answers every request with its cosignature of another tree.
pub(crate) async fn lying_witness(witness: &TestWitness) -> u16 {
    let other = Checkpoint::new(&witness.origin, 7, Hash::of(b"another tree")).unwrap();
    let line = witness.signer().cosign(&other, SystemClock.unix_seconds()).to_string();
    let router = Router::new().route("/add-checkpoint", post(async move || line.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// Returns a port that accepts connections and never answers, as long as the listener exists.
pub(crate) async fn silent_port() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

/// Returns a port on which nothing listens.
pub(crate) async fn unused_port() -> u16 {
    silent_port().await.0
}
