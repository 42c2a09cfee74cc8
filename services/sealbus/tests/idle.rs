//! A bus on which nothing happens costs its database next to nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_client::NewEvent;
use sealbus_testkit::{Postgres, eventually};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::support::{Bus, client};

/// The roles of `sealbus dev`.
const ROLES: [&str; 6] = ["publisher", "publisher", "relay", "relay", "sealer", "dispatcher"];
/// The roles that renew leases, and how often each does.
const KEEPERS: i64 = 5;
const RENEW_SECONDS: i64 = 3;
/// How many renewals are awaited.
const RENEWALS: i64 = 4 * KEEPERS;
const MAX_STATEMENTS_PER_SECOND: i64 = 20;

/// Statements are counted between renewals of leases, so that a slow machine changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn idle_roles_together_make_fewer_than_twenty_statements_a_second() {
    let mut postgres = Postgres::own_cluster().await;
    postgres.admin("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'").await;
    postgres.kill().await;
    postgres.restart().await;
    postgres.admin("CREATE EXTENSION pg_stat_statements").await;
    let mut bus = Bus::on(postgres).await;
    for (name, default) in [
        ("SEALBUS_LEASE", "10s"),
        ("SEALBUS_LEASE_RENEW_INTERVAL", "3s"),
        ("SEALBUS_RELAY_SCAN_INTERVAL", "500ms"),
        ("SEALBUS_RELAY_FULL_SCAN_INTERVAL", "1m"),
        ("SEALBUS_SWEEP_INTERVAL", "5s"),
    ] {
        bus.set(name, default);
    }
    let mut roles = Vec::new();
    for role in ROLES {
        roles.push(bus.role(role).await);
    }

    // Let an event pass through all roles.
    client(&roles).publish("order-1", &NewEvent::new("test.happened", json!({}))).await.unwrap();
    let done = "SELECT (SELECT count(*) FROM sealbus.outbox) + (SELECT count(*) FROM sealbus.seal_queue) \
                + (SELECT count(*) FROM sealbus.floors f WHERE EXISTS (SELECT FROM sealbus.log_leaves l \
                   WHERE l.partition = f.partition AND l.leaf_index >= f.floor))";
    eventually("the event is relayed, sealed and passed by the floors", async || bus.count(done).await == 0).await;

    // Count the statements of some rounds of renewals.
    bus.postgres.admin("SELECT pg_stat_statements_reset()").await;
    let renewals = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE '%renew_leases%'";
    eventually("leases were renewed", async || bus.count(renewals).await >= RENEWALS).await;
    let renewals = bus.count(renewals).await;
    let mut connection = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let counts: Vec<(i64, String)> = sqlx::query_as(
        "SELECT sum(calls)::bigint, left(query, 40) FROM pg_stat_statements WHERE userid = 'sealbus_writer'::regrole \
         GROUP BY 2 ORDER BY 1 DESC",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let statements: i64 = counts.iter().map(|(calls, _)| calls).sum();
    let seconds = renewals * RENEW_SECONDS / KEEPERS;
    assert!(statements < MAX_STATEMENTS_PER_SECOND * seconds, "{statements} in about {seconds} s: {counts:#?}");
}
