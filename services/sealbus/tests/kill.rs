//! Each process is killed with SIGKILL under load, one test each. Acknowledged events are in the ledger, and are delivered once
//! and in order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use crate::support::{Bus, Role, client, load};

/// Publishes while `fault` happens, and checks the outcome.
async fn under_load(bus: &mut Bus, roles: &mut Vec<Role>, fault: impl AsyncFnOnce(&mut Bus, &mut Vec<Role>)) {
    let publisher = client(roles);
    let publishing = tokio::spawn(async move { load(&publisher, 20, 40).await });
    sealbus_testkit::eventually("a tenth is stored", async || {
        bus.count("SELECT count(*) FROM sealbus.events").await > 80
    })
    .await;
    fault(bus, roles).await;
    let acknowledged = publishing.await.unwrap();
    bus.expect_delivered(&acknowledged).await;
}

fn position(roles: &[Role], name: &str) -> usize {
    roles.iter().position(|role| role.name == name).unwrap()
}

async fn kill_role(name: &'static str) {
    let mut bus = Bus::start().await;
    let mut roles = bus.all_roles().await;
    under_load(&mut bus, &mut roles, async |bus, roles| {
        let index = position(roles, name);
        roles[index].kill().await;
        roles[index].start(bus).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_killed() {
    kill_role("publisher").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_killed() {
    kill_role("relay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_is_killed() {
    kill_role("dispatcher").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nats_server_is_killed() {
    let mut bus = Bus::start().await;
    let mut roles = bus.all_roles().await;
    under_load(&mut bus, &mut roles, async |bus, _| {
        bus.nats.kill().await;
        let stored = bus.count("SELECT count(*) FROM sealbus.events").await;
        sealbus_testkit::eventually("publishing goes on without the broker", async || {
            bus.count("SELECT count(*) FROM sealbus.events").await > stored + 50
        })
        .await;
        bus.nats.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed() {
    let mut bus = Bus::start().await;
    let mut roles = bus.all_roles().await;
    under_load(&mut bus, &mut roles, async |bus, _| {
        bus.postgres.kill().await;
        bus.postgres.restart().await;
    })
    .await;
}
