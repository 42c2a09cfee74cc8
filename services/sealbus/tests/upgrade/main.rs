//! This version verifies a ledger, a bundle and a receipt of an earlier version, and continues the ledger.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;

use sealbus_testkit::Postgres;

use crate::support::Bus;

/// What a verification of the unchanged ledger prints. Apart from one erased payload, there are no findings.
const CONTENT: &str = "13 events in 7 plans";

/// Returns the path of a file that the earlier version wrote.
fn made_earlier(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/made_by_7f4d68b").join(name)
}

fn path(name: &str) -> String {
    made_earlier(name).display().to_string()
}

/// Returns a bus with the earlier version's ledger, keyring and anchors. No role runs.
async fn restored() -> Bus {
    let postgres = Postgres::own_cluster().await;
    postgres.admin("DROP SCHEMA sealbus CASCADE; DROP SCHEMA public CASCADE").await;
    postgres.admin(&fs::read_to_string(made_earlier("ledger.sql")).unwrap()).await;
    let mut bus = Bus::configured(postgres, &fs::read_to_string(made_earlier("keyring.json")).unwrap()).await;
    let anchors = bus.folder.path().join("anchors");
    fs::copy(made_earlier("anchors"), &anchors).unwrap();
    fs::copy(made_earlier("private.yaml"), bus.folder.path().join("catalog/private.yaml")).unwrap();
    bus.set("SEALBUS_ANCHORS", &anchors.display().to_string());
    bus.set("SEALBUS_ORIGIN", "sealbus.dev/local");
    bus.set("SEALBUS_TENANT", "dev");
    bus.set("SEALBUS_V1_TENANTS", "other");
    bus.set("SEALBUS_SINK_SCHEMA", "public");
    bus
}

async fn expect(bus: &Bus, arguments: &[&str], status: i32, printed: &str) {
    let (ended, output) = bus.run(arguments).await;
    assert!(ended == status && output.contains(printed), "{arguments:?} ended with {ended}: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_ledger_is_verified_and_continued() {
    let mut bus = restored().await;

    // Migrations that were applied by the earlier version are recognised.
    expect(&bus, &["migrate"], 0, "").await;
    // This version's broker has no stream of checkpoints yet.
    expect(&bus, &["verify", "--all", "--max-age", "10000d", "--allow-missing-anchors"], 0, CONTENT).await;
    expect(
        &bus,
        &["verify", "--all", "--max-age", "10000d", "--allow-missing-anchors", "--receipt", &path("event.receipt")],
        0,
        CONTENT,
    )
    .await;
    expect(&bus, &["dead-letters", "list", "--tenant", "dev"], 0, "order-3").await;

    // The roles start on it, and the next event of a plan is linked to its old head.
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "sealer", "dispatcher"] {
        roles.push(bus.role(name).await);
    }
    bus.set("SEALBUS_URL", &roles[0].url());
    for (tenant, plan, seq) in [("dev", "order-1", 6), ("other", "order-2", 3)] {
        let arguments = ["publish", plan, "payment.settled", r#"{"amount":"6.00"}"#, "--tenant", tenant, "-o", "json"];
        expect(&bus, &arguments, 0, &format!("\"seq\":{seq},")).await;
    }
    expect(&bus, &["verify", "--all", "--wait"], 0, "15 events in 7 plans, 15 of them sealed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_bundle_is_verified() {
    let bus = restored().await;
    let (bundle, pins) = (path("bundle.tar"), path("pins"));
    expect(&bus, &["verify", "--bundle", &bundle, "--trust", &pins], 0, CONTENT).await;
    let receipt = path("event.receipt");
    expect(&bus, &["verify", "--bundle", &bundle, "--trust", &pins, "--receipt", &receipt], 0, CONTENT).await;
}
