//! `sealbus publish --wait sealed` with a sealer that has a policy, and a witness.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sealbus_core::clock::Clock as _;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::proof::EventProof;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_core::verify::bundle::{Content, read_record};
use sealbus_runtime::clock::SystemClock;
use sealbus_testkit::eventually;

use crate::support::Bus;

const ORIGIN: &str = "test.example/bus";

fn log_line() -> String {
    let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
    format!("log {}\n", LogSigner::new(&keyring, ORIGIN).unwrap().verifier_key())
}

/// Verifies the proof of a receipt, and returns the number of witnesses in it. Returns `None` if the receipt has no proof.
fn proof(file: &Path, policy: &Policy) -> Option<usize> {
    let read = read_record(&std::fs::read(file).unwrap(), ORIGIN).unwrap();
    let Content::Record(record, proof) = read.content else { panic!("{read:?}") };
    let proof = EventProof::parse(proof?.as_bytes()).unwrap();
    assert_eq!(record.log_index, Some(proof.index));
    let signed = proof.verify(&record.leaf(), policy, ORIGIN).unwrap();
    Some(policy.quorum(&signed, SystemClock.unix_seconds()).witnesses.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_proves_the_event_with_the_witnesses_of_the_policy() {
    let mut bus = Bus::start().await;
    let path = |name: &str| bus.folder.path().join(name);
    let (keys, memory) = (path("witness.json"), path("memory"));
    let (policy_file, followed, receipt) = (path("policy"), path("followed"), path("receipt"));
    std::fs::create_dir(&memory).unwrap();
    std::fs::write(&followed, format!("{}quorum none\n", log_line())).unwrap();
    let witness = |arguments: &[&str]| {
        let mut command = bus.command(&["witness"]);
        command.args(arguments).env("SEALBUS_WITNESS_NAME", "witness.test/w").env("SEALBUS_KEYRING", &keys);
        command.env("SEALBUS_POLICY", &followed).env("SEALBUS_WITNESS_FOLDER", &memory);
        command
    };
    let made = witness(&["--new-key"]).output().await.unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    assert!(witness(&["--begin", ORIGIN]).status().await.unwrap().success());
    let (port, admin) = (support::free_port(), support::free_port());
    let mut serving = witness(&[]);
    serving.env("SEALBUS_LISTEN", format!("127.0.0.1:{port}"));
    let mut serving = serving.env("SEALBUS_ADMIN_LISTEN", format!("127.0.0.1:{admin}")).spawn().unwrap();
    let policy = format!("{}witness w {} http://127.0.0.1:{port}\nquorum w\n", log_line(), key.trim());
    std::fs::write(&policy_file, &policy).unwrap();
    let policy = Policy::parse(policy.as_bytes()).unwrap();

    bus.set("SEALBUS_POLICY", &policy_file.display().to_string());
    bus.set("SEALBUS_CHECKPOINT_INTERVAL", "20ms");
    let publisher = bus.role("publisher").await;
    bus.set("SEALBUS_URL", &publisher.url());
    let file = receipt.display().to_string();
    let publish = async |timeout: &str| {
        let asked =
            ["publish", "order-1", "test.happened", "--wait", "sealed", "--timeout", timeout, "--receipt", &file];
        bus.run(&asked).await
    };
    // Without a sealer, the receipt has no proof.
    let (status, printed) = publish("1ms").await;
    assert!(status == 0 && printed.contains("stored and not sealed yet"), "{printed}");
    assert_eq!(proof(&receipt, &policy), None);
    let permissions = receipt.metadata().unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600, "a receipt holds the payload");
    let _sealer = bus.role("sealer").await;
    let mut printed = String::new();
    // The first checkpoint may take some time on a busy machine.
    eventually("a receipt with its proof", async || {
        let status;
        (status, printed) = publish("10s").await;
        assert_eq!(status, 0, "{printed}");
        printed.contains("sealed") && !printed.contains("not sealed")
    })
    .await;
    assert_eq!(proof(&receipt, &policy), Some(1), "the receipt lacks the witness's cosignature");
    assert_eq!(
        bus.run(&["publish", "order-1", "test.happened", "--receipt", &file]).await.0,
        2,
        "--receipt is accepted without --wait"
    );
    serving.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealer_with_another_logs_policy_does_not_start() {
    let mut bus = Bus::start().await;
    let other =
        Keyring::parse(&Keyring::generate(KeyKind::Log, &std::array::from_fn(|n| u8::try_from(n).unwrap())).unwrap());
    let other = LogSigner::new(&other.unwrap(), ORIGIN).unwrap().verifier_key();
    let file = bus.folder.path().join("policy");
    bus.set("SEALBUS_POLICY", &file.display().to_string());
    bus.set("SEALBUS_ADMIN_LISTEN", "127.0.0.1:0");
    for (policy, words) in
        [(format!("log {other}\nquorum none\n"), "does not name this log's key"), (log_line(), "missing quorum line")]
    {
        std::fs::write(&file, policy).unwrap();
        let run = tokio::time::timeout(Duration::from_mins(1), bus.run(&["sealer"]));
        let (status, printed) = run.await.expect("the sealer did not end");
        assert!(status == 1 && printed.contains(words) && printed.contains("policy"), "{status} {printed}");
    }
}
