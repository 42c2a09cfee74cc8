//! The network between the roles and a server freezes: nothing passes, and no connection is closed. After a while new connections
//! are refused, and later they work. Every role recovers without a restart, and nothing acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sealbus_testkit::{Proxy, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Acknowledged, Bus, Role, TOKEN};

const PLANS: usize = 8;

/// Publishes events with ids of its own to each plan, and repeats a call until it is acknowledged. Every answer must be 201, 200,
/// or 503 with the id.
async fn publish(urls: Vec<String>, ended: Arc<AtomicBool>) -> Acknowledged {
    let mut plans = JoinSet::new();
    for number in 0..PLANS {
        let (urls, ended) = (urls.clone(), ended.clone());
        plans.spawn(async move {
            let (plan, http) = (format!("plan-{number}"), reqwest::Client::new());
            let mut ids = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                let id = Uuid::now_v7();
                let mut urls = urls.iter().cycle().skip(number);
                loop {
                    let url = format!("{}/v1/plans/{plan}/events", urls.next().unwrap());
                    let event = json!({ "id": id, "type": "test.happened", "data": {} });
                    let answer = http.post(url).bearer_auth(TOKEN).json(&event).send().await.unwrap();
                    let status = answer.status().as_u16();
                    let body: Value = answer.json().await.unwrap();
                    match status {
                        200 | 201 => break,
                        503 => assert_eq!(body["ids"], json!([id]), "{body}"),
                        _ => panic!("{status}: {body}"),
                    }
                }
                ids.insert(id);
            }
            (plan, ids)
        });
    }
    Acknowledged(plans.join_all().await.into_iter().collect())
}

/// Waits until each of these roles reports that it is ready, or that it is not.
async fn until(roles: &[Role], ready: bool) {
    for role in roles {
        let url = format!("{}/readyz", role.admin_url());
        eventually(&format!("{} is ready: {ready}", role.name), async || {
            reqwest::get(&url).await.is_ok_and(|response| response.status().is_success() == ready)
        })
        .await;
    }
}

/// Freezes the network in three phases under load, and checks that everything arrives.
async fn freeze(bus: &Bus, proxy: &Proxy, roles: &[Role], not_ready: &[Role]) {
    let urls = roles.iter().filter(|role| role.name == "publisher").map(Role::url).collect();
    let ended = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish(urls, ended.clone()));
    let delivered = "SELECT count(*) FROM sealbus_sinks.audit_log";
    eventually("events are delivered", async || bus.count(delivered).await > 100).await;

    // The open connections freeze, and new ones work.
    proxy.freeze();
    let before = bus.count(delivered).await;
    eventually("events are delivered on new connections", async || bus.count(delivered).await > before + 100).await;

    // The host is away.
    proxy.refuse();
    proxy.freeze();
    until(not_ready, false).await;

    // The host is back.
    proxy.accept();
    let back = Instant::now();
    until(roles, true).await;
    let before = bus.count(delivered).await;
    eventually("events are delivered again", async || bus.count(delivered).await > before + 100).await;
    println!("all roles worked again after {:?}", back.elapsed());

    ended.store(true, Ordering::Relaxed);
    let acknowledged = publishing.await.unwrap();
    bus.expect_delivered(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_the_database_freezes() {
    let mut bus = Bus::start().await;
    let proxy = Proxy::start(&bus.postgres.url()).await;
    bus.set("SEALBUS_DATABASE_URL", proxy.url());
    let roles = bus.all_roles().await;
    freeze(&bus, &proxy, &roles, &roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_the_broker_freezes() {
    let mut bus = Bus::start().await;
    let proxy = Proxy::start(&bus.nats.url()).await;
    bus.set("SEALBUS_NATS_URL", proxy.url());
    let roles = bus.all_roles().await;
    // The two publishers, which come first, are ready without the broker.
    freeze(&bus, &proxy, &roles, &roles[2..]).await;
}
