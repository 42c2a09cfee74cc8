//! What the roles between ledger and broker tell their probes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_testkit::eventually;

use crate::support::{Bus, Role};

async fn ready(role: &Role) -> (u16, serde_json::Value) {
    let answer = reqwest::get(format!("{}/health/ready", role.admin_url())).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Whoever comes first makes the streams, which a test finds there before any relay has started.
#[tokio::test(flavor = "multi_thread")]
async fn relay_and_dispatcher_are_ready_while_ledger_and_broker_are_there() {
    let mut bus = Bus::start().await;
    let dispatcher = bus.role("dispatcher").await;
    assert_eq!(bus.nats.messages_of("SEALBUS_EVENTS", "events.>").await, 0);
    let relay = bus.role("relay").await;

    bus.nats.kill().await;
    for role in [&relay, &dispatcher] {
        eventually(&format!("the {} misses the broker", role.name), async || {
            let (status, said) = ready(role).await;
            status == 503 && said["checks"]["broker"] == "away" && said["checks"]["database"] == "ok"
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
            let (status, said) = ready(role).await;
            status == 503 && said["checks"]["database"] != "ok" && said["checks"]["broker"] == "ok"
        })
        .await;
    }
}
