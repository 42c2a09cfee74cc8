//! Each process is killed with SIGKILL under load, one test each, and then all of them in turn. Acknowledged events are in the
//! ledger, and are delivered once and in order.
//!
//! The kills in turn go on for as many seconds as `SEALBUS_KILL_SECONDS` says, or end after one of each process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use crate::support::{Bus, Load, Role, client, load};

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

#[tokio::test(flavor = "multi_thread")]
async fn every_process_is_killed_in_turn() {
    let seconds = std::env::var("SEALBUS_KILL_SECONDS").map_or(0, |text| text.parse().unwrap());
    let mut bus = Bus::start().await;
    if seconds > 0 {
        bus.set("SEALBUS_STREAM_MAX_BYTES", "8GiB");
    }
    let mut roles = bus.all_roles().await;
    let (began, mut kills) = (Instant::now(), 0);
    let load = Load::start(client(&roles), 64);
    while kills == 0 || began.elapsed() < Duration::from_secs(seconds) {
        for victim in 0..roles.len() + 2 {
            let delivered = "SELECT count(*) FROM sealbus_sinks.audit_log";
            let more = bus.count(delivered).await + 200;
            bus.grows_to(delivered, more).await;
            if let Some(role) = roles.get_mut(victim) {
                role.kill().await;
                role.start(&bus).await;
            } else if victim == roles.len() {
                bus.nats.kill().await;
                bus.nats.restart().await;
            } else {
                bus.postgres.kill().await;
                bus.postgres.restart().await;
            }
            kills += 1;
        }
    }
    let (acknowledged, time) = (load.end().await, began.elapsed());
    let events: usize = acknowledged.0.values().map(std::collections::BTreeSet::len).sum();
    println!("{kills} kills in {time:?}, in which {events} events were acknowledged");
    bus.expect_delivered(&acknowledged).await;
}
