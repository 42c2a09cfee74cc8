//! A plan, a row or a subscription that cannot go on does not delay other plans, and each role still ends with SIGTERM.
//!
//! Each test prints the times from append to delivery of other plans, before and during the fault, and how long the roles took to
//! end. The two phases last 2 s each, or as many seconds as `SEALBUS_DELAY_SECONDS` says. `SEALBUS_DELAY_EVENTS` is the length of
//! the log that a new subscription walks over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sealbus_client::{Expect, NewEvent};
use sealbus_testkit::eventually;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::{Bus, Role, client};

/// The pause between two events: 50 events a second.
const PAUSE: Duration = Duration::from_millis(20);
const PLANS: usize = 50;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Starts all roles, and lets audit storage note when an event was applied.
async fn start(bus: &Bus) -> Vec<Role> {
    let roles = bus.all_roles().await;
    let clock = "ALTER TABLE sealbus_sinks.audit_log ADD COLUMN applied_at timestamptz DEFAULT clock_timestamp()";
    bus.postgres.admin(clock).await;
    roles
}

/// Publishes events to many plans at a steady rate, waits until they are applied, and returns their delivery times.
async fn delays(bus: &Bus, roles: &[Role], phase: &str) -> String {
    let events = usize::try_from(number("SEALBUS_DELAY_SECONDS", 2)).unwrap() * 50;
    let (client, mut calls, mut tick) = (client(roles), JoinSet::new(), interval(PAUSE));
    for n in 0..events {
        tick.tick().await;
        let (client, plan) = (client.clone(), format!("{phase}-{}", n % PLANS));
        calls.spawn(
            async move { client.publish(&plan, &NewEvent::new("test.happened", json!({"n": n}))).await.unwrap() },
        );
    }
    calls.join_all().await;
    // The caller ends the fault after this, so that a plan that the fault stops is not delivered in time.
    let applied = format!("SELECT count(*) FROM sealbus_sinks.audit_log WHERE plan LIKE '{phase}-%'");
    bus.grows_to(&applied, i64::try_from(events).unwrap()).await;
    let times = format!(
        "SELECT percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP
            (ORDER BY extract(epoch FROM a.applied_at - e.recorded)::float8 * 1000)
         FROM sealbus_sinks.audit_log a JOIN sealbus.events e ON e.tenant = a.tenant AND e.event_id = a.event_id
         WHERE a.plan LIKE '{phase}-%'"
    );
    let mut connection = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let times: Vec<f64> = sqlx::query_scalar(AssertSqlSafe(times)).fetch_one(&mut connection).await.unwrap();
    format!("{phase}: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", times[0], times[1], times[2])
}

/// Ends all roles with SIGTERM, and prints how long each took.
async fn terminate(roles: &mut [Role]) {
    let mut times = String::new();
    for role in roles {
        let time = role.terminate().await;
        write!(times, " {} {time:?}", role.name).unwrap();
    }
    println!("ended after SIGTERM:{times}");
}

async fn metric_is(role: &Role, metric: &str, value: &str) {
    let line = format!("{metric} {value}");
    eventually(&line, async || {
        let text = reqwest::get(format!("{}/metrics", role.admin_url())).await.unwrap().text().await.unwrap();
        text.lines().any(|found| found == line)
    })
    .await;
}

/// Replaces the subscriptions file, for roles that are started from now on. A subscription has a name, a table, and other keys.
fn subscribe(bus: &Bus, subscriptions: &[(&str, &str, &str)]) {
    let mut text = "subscriptions:\n".to_owned();
    for (name, table, keys) in subscriptions {
        writeln!(text, "  {name}: {{ tenants: [test], sink: {{ postgres: {{ table: {table} }} }}, {keys} }}").unwrap();
    }
    std::fs::write(bus.folder.path().join("subscriptions.yaml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_of_the_sink_holds_up_its_own_plan_only() {
    let bus = Bus::start().await;
    let mut roles = start(&bus).await;
    let quiet = delays(&bus, &roles, "quiet").await;

    let mut holder = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let row = "BEGIN; INSERT INTO sealbus_sinks.audit_log (tenant, plan, seq, event_id, type, occurred_at, metadata)
        VALUES ('test', 'locked', 1, gen_random_uuid(), 'x', now(), '{}')";
    holder.execute(row).await.unwrap();
    let events: Vec<NewEvent> = (0..600).map(|n| NewEvent::new("test.happened", json!({"n": n}))).collect();
    client(&roles).publish_batch("locked", &events, Expect::Any).await.unwrap();
    let aside = "SELECT count(*) FROM sealbus.positions WHERE state <> 'live'";
    bus.grows_to(aside, 1).await;
    println!("{quiet}; {}", delays(&bus, &roles, "beside").await);
    terminate(&mut roles).await;

    // Once the row is free, the plan is delivered. By then it may be a dead letter, which an operator releases.
    holder.execute("ROLLBACK").await.unwrap();
    let _roles = bus.all_roles().await;
    eventually("the plan is delivered", async || {
        if bus.count("SELECT count(*) FROM sealbus.positions WHERE state = 'dead' AND ask IS NULL").await > 0 {
            let redrive = ["dead-letters", "redrive", "audit-storage", "locked", "--reason", "the row is free"];
            let (status, printed) = bus.run(&redrive).await;
            assert_eq!(status, 0, "{printed}");
        }
        bus.count("SELECT count(*) FROM sealbus_sinks.audit_log WHERE plan = 'locked'").await == 600
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_dated_a_year_ahead_hold_up_nobody() {
    let bus = Bus::start().await;
    let mut roles = start(&bus).await;
    let quiet = delays(&bus, &roles, "quiet").await;

    // A relay and a dispatcher die. Their leases expire in a year, and the newest leaf has a time in a year.
    for name in ["relay", "dispatcher"] {
        let index = roles.iter().position(|role| role.name == name).unwrap();
        roles.remove(index).kill().await;
    }
    bus.postgres
        .admin(
            "SET session_replication_role = replica;
            UPDATE sealbus.leases SET expires_at = clock_timestamp() + interval '1 year';
            UPDATE sealbus.log_leaves SET sealed_at = clock_timestamp() + interval '1 year'
            WHERE leaf_index = (SELECT max(leaf_index) FROM sealbus.log_leaves)",
        )
        .await;
    // Memberships of dead processes are ignored, and stay until a process of the kind starts.
    let ahead = "SELECT count(*) FROM sealbus.leases
        WHERE kind NOT LIKE '%/members' AND expires_at > clock_timestamp() + interval '1 day'";
    eventually("the other processes have all leases", async || bus.count(ahead).await == 0).await;
    println!("{quiet}; {}", delays(&bus, &roles, "beside").await);
    terminate(&mut roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_the_sealer_stopped_holds_up_no_new_subscription() {
    let bus = Bus::start().await;
    let mut roles = start(&bus).await;
    let quiet = delays(&bus, &roles, "quiet").await;

    let sealer = roles.iter().position(|role| role.name == "sealer").unwrap();
    roles[sealer].kill().await;
    client(&roles).publish("tampered", &NewEvent::new("test.happened", json!({}))).await.unwrap();
    bus.postgres
        .admin(
            "SET session_replication_role = replica;
            UPDATE sealbus.events SET event_hash = decode(repeat('00', 32), 'hex') WHERE plan_no =
            (SELECT plan_no FROM sealbus.plans WHERE plan = 'tampered')",
        )
        .await;
    roles[sealer].start(&bus).await;
    metric_is(&roles[sealer], "sealbus_sealer_stopped_now", "1").await;
    subscribe(&bus, &[("audit-storage", "audit_log", "from: beginning"), ("late", "late", "from: now")]);
    roles.push(bus.role("dispatcher").await);
    let floors =
        "SELECT count(*) FROM sealbus.floors JOIN sealbus.subscriptions USING (subscription_no) WHERE name = 'late'";
    bus.grows_to(floors, 1).await;
    println!("{quiet}; {}", delays(&bus, &roles, "beside").await);
    let both = "SELECT count(*) FROM sealbus_sinks.late JOIN sealbus_sinks.audit_log USING (tenant, plan, seq) WHERE plan LIKE 'beside-%'";
    bus.grows_to(both, bus.count("SELECT count(*) FROM sealbus_sinks.audit_log WHERE plan LIKE 'beside-%'").await)
        .await;
    terminate(&mut roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscription_over_a_long_log_holds_up_no_other_one() {
    let mut bus = Bus::start().await;
    bus.set("SEALBUS_STREAM_MAX_BYTES", "4GiB");
    let (live, healing) =
        (("audit-storage", "audit_log", "types: [test.happened]"), ("healing", "healed", "types: [test.lost]"));
    subscribe(&bus, &[live, healing]);
    let mut roles = start(&bus).await;
    let client = client(&roles);
    let events = number("SEALBUS_DELAY_EVENTS", 20_000);
    for n in 0..events.div_ceil(1_000) {
        let batch: Vec<NewEvent> = (0..1_000).map(|n| NewEvent::new("test.passed", json!({"n": n}))).collect();
        client.publish_batch(&format!("passed-{}", n % 8), &batch, Expect::Any).await.unwrap();
    }
    let queued = "(SELECT count(*) FROM sealbus.seal_queue) + (SELECT count(*) FROM sealbus.outbox)";
    let queued = format!("SELECT -({queued})");
    bus.grows_to(&queued, 0).await;
    let above_floors = "SELECT -count(*) FROM sealbus.floors f WHERE EXISTS
        (SELECT FROM sealbus.log_leaves l WHERE l.partition = f.partition AND l.leaf_index >= f.floor)";
    bus.grows_to(above_floors, 0).await;
    let quiet = delays(&bus, &roles, "quiet").await;

    // Events that the stream loses before they are delivered are healed while the new subscription begins.
    for role in roles.iter_mut().filter(|role| role.name == "dispatcher") {
        role.kill().await;
    }
    let lost: Vec<NewEvent> = (0..500).map(|n| NewEvent::new("test.lost", json!({"n": n}))).collect();
    client.publish_batch("lost", &lost, Expect::Any).await.unwrap();
    bus.grows_to(&queued, 0).await;
    bus.nats.purge("SEALBUS_EVENTS").await;
    subscribe(&bus, &[live, healing, ("new", "new", "types: [test.happened]")]);
    for role in roles.iter_mut().filter(|role| role.name == "dispatcher") {
        role.start(&bus).await;
    }
    let began = Instant::now();
    client.publish("first", &NewEvent::new("test.happened", json!({}))).await.unwrap();
    bus.grows_to("SELECT count(*) FROM sealbus_sinks.audit_log WHERE plan = 'first'", 1).await;
    println!("{quiet}; {}", delays(&bus, &roles, "beside").await);
    bus.grows_to("SELECT count(*) FROM sealbus_sinks.healed", 500).await;
    let healed = began.elapsed();
    terminate(&mut roles).await;
    println!("healed at most {healed:?} after the start of the new subscription");
}
