//! Two replicas of each role, and many callers on one plan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use sealbus_client::NewEvent;
use serde_json::json;
use tokio::sync::Mutex;

use crate::support::{Acknowledged, Bus, client, shared};

/// Runs one test at a time: each starts seven processes and two servers.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_clients_publish_to_one_plan_through_two_replicas() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let bus = Bus::start().await;
    let roles = bus.all_roles().await;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..32 {
        // Each replica gets half of the callers.
        let publisher = client(&roles[caller % 2..=caller % 2]);
        callers.spawn(async move {
            let mut ids = BTreeSet::new();
            for n in 0..10 {
                let event = NewEvent::new("test.happened", json!({"n": n}));
                ids.insert(publisher.publish("one-plan", &event).await.unwrap().event.id);
            }
            ids
        });
    }
    let mut acknowledged = Acknowledged::default();
    while let Some(ids) = callers.join_next().await {
        acknowledged.0.entry("one-plan".to_owned()).or_default().extend(ids.unwrap());
    }
    assert_eq!(acknowledged.0["one-plan"].len(), 320);
    assert_eq!(
        bus.count("SELECT max(seq) FROM sealbus.events e JOIN sealbus.plans USING (plan_no) WHERE plan = 'one-plan'")
            .await,
        320,
        "the plan has a gap"
    );
    bus.expect_delivered(&acknowledged).await;
}

/// The stream holds each event of the log's tenant once.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_holds_every_event_of_a_tenant() {
    let Some(log) = shared("data/permit-receipts.jsonl.gz") else { return };
    let _guard = ONE_AT_A_TIME.lock().await;
    let mut bus = Bus::start().await;
    // A relay that loses its lease on a slow machine publishes duplicates, which is allowed but would change the count.
    bus.set("SEALBUS_LEASE", "30s");
    std::fs::write(
        bus.folder.path().join("catalog/receipts.yaml"),
        "module: receipts\npatterns:\n  receipt.*: { channel: audit, schema: any }\n",
    )
    .unwrap();
    let roles = bus.all_roles().await;
    let output = bus
        .command(&["import", &log.display().to_string(), "-o", "json"])
        .env("SEALBUS_URL", roles[0].url())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sealbus_testkit::eventually("the outbox is empty", async || {
        bus.count("SELECT count(*) FROM sealbus.outbox").await == 0
    })
    .await;
    assert_eq!(bus.nats.messages_of("SEALBUS_EVENTS", "events.municipality.>").await, 8_577);
}
