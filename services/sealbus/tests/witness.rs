//! `sealbus witness`: without ledger and broker, killed and restarted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sealbus_client::{Cosignature, WitnessClient, WitnessError};
use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{self, ProofNodes};
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::{EdgeTiles, Tiles};
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_runtime::clock::SystemClock;
use sealbus_testkit::eventually;
use sealbus_testkit::process::send_signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const ORIGIN: &str = "bus.test/one";

/// The files of a witness's operator, and the log that the policy names.
struct Operator {
    folder: TempDir,
    log: LogSigner,
    port: u16,
    admin: u16,
}

impl Operator {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seed = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let keyring = Keyring::parse(&Keyring::generate(KeyKind::Log, &seed).unwrap()).unwrap();
        let log = LogSigner::new(&keyring, ORIGIN).unwrap();
        fs::write(folder.path().join("policy"), format!("log {}\nquorum none\n", log.verifier_key())).unwrap();
        fs::create_dir(folder.path().join("memory")).unwrap();
        Self { folder, log, port: free_port(), admin: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealbus"));
        command.arg("witness").args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command
            .env("SEALBUS_WITNESS_NAME", "witness.test/w")
            .env("SEALBUS_KEYRING", self.path("keyring.json"))
            .env("SEALBUS_POLICY", self.path("policy"))
            .env("SEALBUS_WITNESS_FOLDER", self.path("memory"))
            .env("SEALBUS_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("SEALBUS_ADMIN_LISTEN", format!("127.0.0.1:{}", self.admin));
        command
    }

    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().await.unwrap();
        (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
    }

    async fn start(&self) -> Child {
        let child = self.command(&[]).env("SEALBUS_LOG", "warn").spawn().unwrap();
        let ready = format!("http://127.0.0.1:{}/readyz", self.admin);
        eventually("the witness is ready", async || {
            reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        child
    }

    /// Requests a cosignature of the log's tree of this size.
    async fn request_cosignature(&self, key: &str, size: u64) -> Result<Cosignature, WitnessError> {
        let leaves: Vec<_> = (0..size).map(|index| merkle::leaf_hash(&index.to_be_bytes())).collect();
        let (mut edge, mut tiles) = (EdgeTiles::default(), Tiles::default());
        edge.append(&leaves).unwrap().into_iter().for_each(|tile| tiles.insert(tile));
        let note = self.log.sign(&Checkpoint::new(ORIGIN, size, edge.root()).unwrap(), 1_000).unwrap();
        let prove = async |from| {
            Ok::<_, Infallible>(ProofNodes::consistency(from, size).unwrap().prove(|node| tiles.hash(node)).unwrap())
        };
        let url = format!("http://127.0.0.1:{}", self.port);
        let client = WitnessClient::new(&url, key.parse().unwrap(), Duration::from_mins(1)).unwrap();
        client.add_checkpoint(0, prove, &note).await
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_killed_remembers_what_it_cosigned() {
    let operator = Operator::new();
    let (made, key) = operator.run(&["--new-key"]).await;
    assert!(made, "{key}");
    assert_eq!(fs::metadata(operator.path("keyring.json")).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read(operator.path("keyring.json")).unwrap();
    assert!(!operator.run(&["--new-key"]).await.0, "--new-key replaced an existing key");
    assert_eq!(fs::read(operator.path("keyring.json")).unwrap(), kept);

    let (started, output) = operator.run(&[]).await;
    assert!(!started && output.contains(&format!("run `sealbus witness --begin {ORIGIN}` once")), "{output}");
    let (begun, output) = operator.run(&["--begin", ORIGIN]).await;
    assert!(begun, "{output}");
    assert!(!operator.run(&["--begin", ORIGIN]).await.0, "--begin was accepted twice");

    let key = key.trim();
    let mut sizes = 1..;
    for _ in 0..5 {
        let mut witness = operator.start().await;
        let now = SystemClock.unix_seconds();
        let mut last = 0;
        for size in sizes.by_ref().take(3) {
            let cosignature = operator.request_cosignature(key, size).await.unwrap();
            assert!(cosignature.time.abs_diff(now) < 60, "{cosignature:?}");
            last = size;
        }
        witness.kill().await.unwrap();
        let mut witness = operator.start().await;
        let behind = operator.request_cosignature(key, last - 1).await;
        assert!(matches!(behind, Err(WitnessError::Conflict { size }) if size == last), "{behind:?}");
        witness.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_used_by_one_process() {
    let operator = Operator::new();
    assert!(operator.run(&["--new-key"]).await.0);
    assert!(operator.run(&["--begin", ORIGIN]).await.0);
    let mut first = operator.start().await;
    let second = operator.command(&[]).env("SEALBUS_LISTEN", "127.0.0.1:0").output().await.unwrap();
    let output = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && output.contains("another witness runs on"), "{output}");
    assert!(first.try_wait().unwrap().is_none(), "the first witness has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_ends_on_sigterm() {
    let operator = Operator::new();
    assert!(operator.run(&["--new-key"]).await.0);
    assert!(operator.run(&["--begin", ORIGIN]).await.0);
    let mut witness = operator.start().await;
    send_signal(witness.id().unwrap(), Signal::TERM);
    assert!(witness.wait().await.unwrap().success());
}
