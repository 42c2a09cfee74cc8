//! The stream loses messages. The ledger does not, so every subscription still gets every event.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use crate::support::{Bus, client, load};

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_purged_in_mid_flight() {
    let bus = Bus::start().await;
    let roles = bus.all_roles().await;
    let publisher = client(&roles);
    let publishing = tokio::spawn(async move { load(&publisher, 20, 40).await });
    sealbus_testkit::eventually("some are stored", async || {
        bus.count("SELECT count(*) FROM sealbus.events").await > 200
    })
    .await;
    bus.nats.purge("SEALBUS_EVENTS").await;
    let acknowledged = publishing.await.unwrap();
    bus.nats.purge("SEALBUS_EVENTS").await;
    bus.expect_delivered(&acknowledged).await;
}

/// No later message shows the loss, so only the sweep of the ledger finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plans_last_message_is_deleted() {
    let bus = Bus::start().await;
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "sealer"] {
        roles.push(bus.role(name).await);
    }
    let acknowledged = load(&client(&roles), 3, 5).await;
    sealbus_testkit::eventually("the outbox is empty", async || {
        bus.count("SELECT count(*) FROM sealbus.outbox").await == 0
    })
    .await;
    bus.nats.delete_last("SEALBUS_EVENTS", "events.test.>").await;
    roles.push(bus.role("dispatcher").await);
    bus.expect_delivered(&acknowledged).await;
}
