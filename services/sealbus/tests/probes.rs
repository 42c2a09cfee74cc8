//! Readiness of the roles between ledger and broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_testkit::eventually;

use crate::support::{Bus, Role};

async fn ready(role: &Role) -> (u16, serde_json::Value) {
    let response = reqwest::get(format!("{}/health/ready", role.admin_url())).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The first role creates the streams: they exist before a relay was started.
#[tokio::test(flavor = "multi_thread")]
async fn relay_and_dispatcher_are_ready_while_ledger_and_broker_are_reachable() {
    let mut bus = Bus::start().await;
    let dispatcher = bus.role("dispatcher").await;
    assert_eq!(bus.nats.messages_of("SEALBUS_EVENTS", "events.>").await, 0);
    let relay = bus.role("relay").await;

    bus.nats.kill().await;
    for role in [&relay, &dispatcher] {
        eventually(&format!("the {} misses the broker", role.name), async || {
            let (status, report) = ready(role).await;
            status == 503 && report["checks"]["broker"] == "away" && report["checks"]["database"] == "ok"
        })
        .await;
    }
    bus.nats.restart().await;
    for role in [&relay, &dispatcher] {
        eventually(&format!("the {} is ready again", role.name), async || ready(role).await.0 == 200).await;
    }
    bus.postgres.kill().await;
    for role in [&relay, &dispatcher] {
        eventually(&format!("the {} misses the ledger", role.name), async || {
            let (status, report) = ready(role).await;
            status == 503 && report["checks"]["database"] != "ok" && report["checks"]["broker"] == "ok"
        })
        .await;
    }
}
