//! How long an event takes from its publish call to its handler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealbus_client::{Client, ClientConfig, NewEvent};
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, Metrics, Resources, SubscriptionSpec};
use sealbus_core::hash::Hash;
use sealbus_core::names::Subscription;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::floor::Floor;
use super::percentiles::{Percentiles, milliseconds};
use super::role::Role;
use crate::failure::Failure;
use crate::wiring;

/// How to pace it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Events a second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Plans, by turns
    #[arg(long, default_value_t = 100)]
    plans: u64,
    /// Bytes of an event's data
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
}

/// Measures both floors and then the bus, and prints percentiles and their ratio.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let time = Duration::from_secs(args.seconds);
    let floor = Floor::prepare(
        sealbus_backing::postgres_bin()?,
        settings.require(table::ADMIN_DATABASE_URL)?.expose().to_owned(),
    )
    .await?;
    let shutdown = CancellationToken::new();
    let broker = wiring::wait_for_broker(&settings, "sealbus-bench", &shutdown).await?;
    let roles = [Role::start("publisher").await?, Role::start("relay").await?, Role::start("sealer").await?];

    let ledger = wiring::wait_for_ledger(&settings, &shutdown).await?;
    let commits = floor.commit(args.rate, time).await?;
    let acks = acks(&broker, &ledger, &args).await?;

    let arrivals = Arc::new(Arrivals::default());
    let consuming = {
        let spec = SubscriptionSpec {
            start: Start::Now,
            ..SubscriptionSpec::new(Subscription::parse(&format!("bench-{}x", Uuid::new_v4().simple()))?)
        };
        let mut registry = telemetry::metrics::registry();
        let resources = Resources {
            ledger: ledger.clone(),
            broker: broker.clone(),
            keyring: wiring::keyring(&settings)?,
            catalog: wiring::catalog(&settings)?,
            metrics: Metrics::register(&mut registry),
        };
        let handler = Handler::External(arrivals.clone());
        tokio::spawn(sealbus_consumer::run(
            vec![(spec, handler)],
            resources,
            wiring::consumer_settings(&settings)?,
            shutdown.clone(),
        ))
    };
    let mut config = ClientConfig::new([roles[0].url.clone()], settings.require(table::TOKEN)?.expose_secret());
    config.tenant = settings.find(table::TENANT);
    let client = Client::new(config)?;
    warm_up(&client, &arrivals).await?;
    let sent = publish(&client, &args, time).await?;
    let delivered = arrivals.wait_for(&sent).await;
    let end_to_end = Percentiles::of(delivered);

    let floor = commits.at(50) + acks.at(50);
    println!(
        "commit:  p50 {}, p99 {} ({} of them)",
        milliseconds(commits.at(50)),
        milliseconds(commits.at(99)),
        commits.len()
    );
    println!("ack:     p50 {}, p99 {} ({} of them)", milliseconds(acks.at(50)), milliseconds(acks.at(99)), acks.len());
    println!(
        "e2e:     p50 {}, p99 {} ({} of them); p50 is {:.2} times one commit and one ack",
        milliseconds(end_to_end.at(50)),
        milliseconds(end_to_end.at(99)),
        end_to_end.len(),
        end_to_end.at(50).as_secs_f64() / floor.as_secs_f64()
    );
    println!("memory:  {}", roles.iter().map(Role::cost).collect::<Vec<_>>().join("; "));
    shutdown.cancel();
    consuming.await??;
    Ok(())
}

/// When each event came to the handler.
#[derive(Default)]
struct Arrivals(Mutex<HashMap<Uuid, Instant>>);

#[async_trait::async_trait]
impl ExternalEffect for Arrivals {
    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
        let now = Instant::now();
        let mut arrivals = self.0.lock().expect("no holder panics");
        arrivals.extend(run.iter().map(|delivery| (delivery.record.header.event_id, now)));
        Ok(())
    }
}

impl Arrivals {
    fn of(&self, id: &Uuid) -> Option<Instant> {
        self.0.lock().expect("no holder panics").get(id).copied()
    }

    /// From sending to arrival, of all that were sent; waits for the last of them.
    async fn wait_for(&self, sent: &[(Uuid, Instant)]) -> Vec<Duration> {
        let mut times = Vec::with_capacity(sent.len());
        for (id, at) in sent {
            loop {
                if let Some(arrived) = self.of(id) {
                    times.push(arrived.duration_since(*at));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        times
    }
}

/// Publishes until events of all partitions arrive at once: only then do all parts have their leases and consumers.
async fn warm_up(client: &Client, arrivals: &Arrivals) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut in_a_row = 0;
    for n in 0_u64.. {
        if in_a_row == 64 {
            break;
        }
        if Instant::now() > deadline {
            return Err(Failure::new("deliveries did not come at once within a minute"));
        }
        let published = client.publish(&format!("warm-up-{n}"), &NewEvent::new("bench.event", json!(null))).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        in_a_row = if arrivals.of(&published.event.id).is_some() { in_a_row + 1 } else { 0 };
    }
    Ok(())
}

/// Publishes at the rate, each call on its own, and says when each began.
async fn publish(client: &Client, args: &Args, time: Duration) -> Result<Vec<(Uuid, Instant)>, Failure> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let data = json!({"text": "x".repeat(args.bytes.saturating_sub(11))});
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut sent = Vec::new();
    for n in 0_u64.. {
        ticks.tick().await;
        if begun.elapsed() >= time {
            break;
        }
        let event = NewEvent::new("bench.event", data.clone());
        sent.push((event.id.parse::<Uuid>()?, Instant::now()));
        let (client, plan) = (client.clone(), format!("bench-{}", n % args.plans));
        calls.spawn(async move { client.publish(&plan, &event).await });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    Ok(sent)
}

/// How long JetStream takes to acknowledge single messages at the rate.
async fn acks(
    broker: &sealbus_broker::Broker,
    ledger: &sealbus_ledger::Ledger,
    args: &Args,
) -> Result<Percentiles, Failure> {
    let record =
        ledger.history().log_page(&sealbus_ledger::history::trail::LogQuery { limit: 1, ..Default::default() }).await?;
    let mut record = record.into_iter().next().ok_or_else(|| Failure::new("the ledger has no event"))?;
    let payload = format!("\"{}\"", "x".repeat(args.bytes));
    record.header.payload_hash = Hash::of(payload.as_bytes());
    record.payload = Some(payload);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
    let mut times = Vec::new();
    for _ in 0..u64::from(args.rate) * args.seconds.min(5) {
        ticks.tick().await;
        // Another message each time, of the size that is measured, and of a tenant that no subscription follows.
        record.header.event_id = Uuid::now_v7();
        record.event_hash = record.header.hash();
        let message = sealbus_broker::EventMessage::encode(&record, ledger.deployment().partitions)?;
        let begun = Instant::now();
        broker.publish(message).await?.acknowledged().await?;
        times.push(begun.elapsed());
    }
    Ok(Percentiles::of(times))
}
