//! Tests that change the whole database: rows 23 and 24 of the tampering table
//! (docs/spec/integrity.md#tampering-table).

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sealbus_ledger::schema::bootstrap::create_database;
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::anchors::Anchor;
use sealbus_sealer::{Config, Metrics, Resources};
use sealbus_testkit::{Nats, eventually};
use tokio_util::sync::CancellationToken;

use crate::scene::{SIZE, Scene};

/// Returns the URL of another database on the same server.
fn in_database(url: &str, database: &str) -> String {
    format!("{}/{database}", url.rsplit_once('/').unwrap().0)
}

#[tokio::test]
async fn row_23_dump_and_restore() {
    let mut scene = Scene::start().await;
    scene.seal_and_anchor().await;
    let admin = scene.postgres.admin_url();
    create_database(&in_database(&admin, "postgres"), "restored", None).await.unwrap();
    let dump = scene.path("dump.sql").display().to_string();
    let psql = in_database(&admin, "restored");
    for (program, arguments) in [
        ("pg_dump", vec!["--dbname", &admin, "--file", &dump]),
        ("psql", vec!["--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &psql, "--file", &dump]),
    ] {
        let ended = Command::new(program).args(arguments).output().unwrap();
        assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    scene.database = Some(in_database(&scene.postgres.url(), "restored"));
    scene.arguments = vec!["--wait".to_owned()];
    scene.expect_only(&[]);
}

#[tokio::test]
async fn row_23_column_cast_and_cast_back() {
    let scene = Scene::start().await;
    for column_type in ["jsonb", "json"] {
        let cast = |column| format!("ALTER COLUMN {column} TYPE {column_type} USING {column}::text::{column_type}");
        scene.tamper(&format!("ALTER TABLE sealbus.events {}, {}", cast("payload"), cast("metadata"))).await;
    }
    scene.expect(&[]);
}

#[tokio::test]
async fn row_24_database_rolled_back() {
    let mut scene = Scene::start().await;
    // Copy the database as it is now, which is what a restore to this point in time gives.
    scene.ledger.close().await;
    let admin = in_database(&scene.postgres.admin_url(), "postgres");
    let database = scene.postgres.url().rsplit_once('/').unwrap().1.to_owned();
    create_database(&admin, "rolled_back", Some(&database)).await.unwrap();
    scene.ledger = sealbus_testkit::ledger::open(&scene.postgres.url()).await;
    scene.seal_and_anchor().await;
    scene.expect_only(&[]);

    scene.database = Some(in_database(&scene.postgres.url(), "rolled_back"));
    scene.expect(&[("INCONSISTENT", &format!("size {}", SIZE + 2))]);
    // A sealer on the restored database refuses to sign.
    let ledger = sealbus_testkit::ledger::open(scene.database.as_ref().unwrap()).await;
    let anchors: Vec<Arc<dyn Anchor>> = vec![Arc::new(scene.anchors())];
    let (nats, metrics, shutdown) = (Nats::start().await, Metrics::default(), CancellationToken::new());
    let signed = (ledger.log().size().await.unwrap(), ledger.log().newest_note().await.unwrap());
    let resources = Resources {
        ledger: ledger.clone(),
        broker: nats.connect().await,
        signer: scene.log.clone(),
        anchors,
        witnesses: None,
        clock: Arc::new(SystemClock),
        metrics: metrics.clone(),
    };
    let config = Config {
        max_batch_events: 1_000,
        queue_poll_interval: Duration::from_millis(50),
        stopped_plan_retry_interval: Duration::from_mins(1),
        checkpoint_interval: Duration::from_secs(1),
        heartbeat_interval: Duration::from_mins(1),
        measure_interval: Duration::from_secs(10),
    };
    let sealer = tokio::spawn(sealbus_sealer::run(config, resources, shutdown.clone()));
    eventually("the sealer refuses to sign a log that was rolled back", async || metrics.refuses("rolled_back")).await;
    shutdown.cancel();
    sealer.await.unwrap();
    assert_eq!((ledger.log().size().await.unwrap(), ledger.log().newest_note().await.unwrap()), signed);
}
