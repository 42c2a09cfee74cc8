//! A transaction keeps its snapshot while events pass, so that no dead row of the queues can be removed.
//!
//! The test prints the rates in the first and in the last minute, or third, of the time in which publishing waits for delivery.
//! `SEALBUS_SNAPSHOT_EVENTS` is the number of events, 10,000 by default.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealbus_client::{Expect, NewEvent};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Bus, Role, client};

const PUBLISHERS: u64 = 4;
const PLANS: u64 = 400;
/// Events of a call.
const BATCH: u64 = 250;
/// How far publishing may be ahead of delivery, in events.
const MAX_BACKLOG: f64 = 2_000.0;
/// A time in which the slowest machine delivers an event.
const MAX_STANDSTILL: Duration = Duration::from_mins(3);
/// The steps that an event goes through, and their counters.
const STEPS: [(&str, &str); 4] = [
    ("append", "sealbus_publisher_events_published_total"),
    ("relay", "sealbus_relay_acknowledged_total"),
    ("seal", "sealbus_sealer_leaves_total"),
    ("deliver", "sealbus_consumer_delivered_total"),
];

/// The counters of all roles at a moment, by step.
struct Sample {
    at: Instant,
    counts: [f64; STEPS.len()],
}

impl Sample {
    async fn take(roles: &[Role]) -> Self {
        let (at, mut counts) = (Instant::now(), [0.0; STEPS.len()]);
        for role in roles {
            let text = reqwest::get(format!("{}/metrics", role.admin_url())).await.unwrap().text().await.unwrap();
            for (count, (_, name)) in counts.iter_mut().zip(STEPS) {
                let lines = text.lines().filter(|line| line.starts_with(name));
                *count += lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>();
            }
        }
        Self { at, counts }
    }

    /// Returns whether publishing has to wait for delivery.
    fn is_full(&self) -> bool {
        self.counts[0] - self.counts[3] >= MAX_BACKLOG
    }
}

/// Publishes batches while `may_go_on` is true, until `left` batches are published.
async fn publish(client: sealbus_client::Client, left: Arc<AtomicU64>, mut may_go_on: watch::Receiver<bool>) {
    let text = "x".repeat(500);
    loop {
        may_go_on.wait_for(|may| *may).await.unwrap();
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let Ok(before) = taken else { return };
        let plan = format!("order-{}", before % PLANS);
        let events: Vec<NewEvent> =
            (0..BATCH).map(|n| NewEvent::new("test.happened", json!({"n": n, "text": text}))).collect();
        client.publish_batch(&plan, &events, Expect::Any).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_beside_an_old_snapshot() {
    let events: u64 = std::env::var("SEALBUS_SNAPSHOT_EVENTS").map_or(10_000, |text| text.parse().unwrap());
    assert!(events.is_multiple_of(BATCH), "only whole batches of {BATCH} are published");
    let mut bus = Bus::start().await;
    if events > 10_000 {
        bus.set("SEALBUS_STREAM_MAX_BYTES", "4GiB");
    }
    // The defaults. With the short leases of other tests, a busy machine loses leases, which costs time.
    bus.set("SEALBUS_LEASE", "10s");
    bus.set("SEALBUS_LEASE_RENEW_INTERVAL", "3s");
    let roles = bus.all_roles().await;
    let mut holder = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let stored = "SELECT count(*) FROM sealbus.events";
    let before: i64 = sqlx::query_scalar(stored).fetch_one(&mut holder).await.unwrap();

    let mut samples = vec![Sample::take(&roles).await];
    let (may_go_on, gate) = watch::channel(true);
    let left = Arc::new(AtomicU64::new(events / BATCH));
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        publishers.spawn(publish(client(&roles), left.clone(), gate.clone()));
    }
    drop(gate);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    #[expect(clippy::cast_precision_loss, reason = "far fewer events than 2^53")]
    let all = samples[0].counts[3] + events as f64;
    let mut progress = Instant::now();
    while samples.last().unwrap().counts[3] < all {
        tick.tick().await;
        let sample = Sample::take(&roles).await;
        if sample.counts.iter().sum::<f64>() > samples.last().unwrap().counts.iter().sum() {
            progress = Instant::now();
        }
        assert!(progress.elapsed() < MAX_STANDSTILL, "nothing moves any more: {:?}", sample.counts);
        may_go_on.send_replace(!sample.is_full());
        samples.push(sample);
    }
    publishers.join_all().await;

    // While the backlog is full, all steps have the rate of the slowest one.
    let first = samples.iter().find(|sample| sample.is_full()).unwrap_or(&samples[0]);
    let last = samples.iter().rfind(|sample| sample.is_full()).unwrap_or(&samples[samples.len() - 1]);
    let part = (last.at.duration_since(first.at) / 3).min(Duration::from_mins(1));
    let after_first = samples.iter().find(|sample| sample.at >= first.at + part).unwrap();
    let before_last = samples.iter().rfind(|sample| sample.at + part <= last.at).unwrap();
    let rate = |from: &Sample, to: &Sample, step: usize| {
        (to.counts[step] - from.counts[step]) / to.at.duration_since(from.at).as_secs_f64()
    };
    println!("{events} events in {:?}, events a second in the first and last {part:?}:", last.at - first.at);
    for (step, (name, _)) in STEPS.iter().enumerate() {
        let (early, late) = (rate(first, after_first, step), rate(before_last, last, step));
        println!("{name}: {early:.0} and {late:.0}, {:.2}", late / early);
    }
    assert_eq!(
        sqlx::query_scalar::<_, i64>(stored).fetch_one(&mut holder).await.unwrap(),
        before,
        "the snapshot ended"
    );
    let delivered = "SELECT count(*) FROM sealbus_sinks.audit_log WHERE tenant = 'test'";
    assert_eq!(bus.count(delivered).await, i64::try_from(events).unwrap());
}
