//! Measures the time from an event's publish call to its handler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealbus_broker::{Broker, EventMessage};
use sealbus_client::{Client, ClientConfig, NewEvent};
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, Metrics, Resources, SubscriptionSpec};
use sealbus_core::hash::Hash;
use sealbus_core::names::Subscription;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_ledger::{ConnectionSettings, Ledger};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::baseline::Baseline;
use super::percentiles::Percentiles;
use super::role::Role;
use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of events per second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Duration, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Number of plans, which are used in turn
    #[arg(long, default_value_t = 100)]
    plans: u64,
    /// Size of an event's data, in bytes
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
}

/// Measures both parts of the baseline and then the bus, and prints percentiles and their ratio.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let time = Duration::from_secs(args.seconds);
    let baseline = Baseline::prepare(settings.require(table::ADMIN_DATABASE_URL)?).await?;
    let shutdown = CancellationToken::new();
    let broker = wiring::wait_for_broker(&settings, "sealbus-bench", &shutdown).await?;
    let roles = [Role::start("publisher").await?, Role::start("relay").await?, Role::start("sealer").await?];

    let connections = wiring::connections(&settings, ConnectionSettings::consumer);
    let ledger = wiring::wait_for_ledger(&settings, &connections, &shutdown).await?;
    let commits = baseline.commit_times(args.rate, time).await?;
    let acks = ack_times(&broker, &ledger, &args).await?;

    let arrivals = Arc::new(Arrivals::default());
    let mut spec = SubscriptionSpec::new(Subscription::parse(&format!("bench-{}x", Uuid::new_v4().simple()))?);
    spec.start = Start::Now;
    let resources = Resources {
        ledger: ledger.clone(),
        broker: broker.clone(),
        keyring: wiring::keyring(&settings)?,
        catalog: wiring::catalog(&settings)?,
        metrics: Metrics::register(&mut telemetry::metrics::registry()),
    };
    let subscriptions = vec![(spec, Handler::External(arrivals.clone()))];
    let consumer = sealbus_consumer::Settings::from(&settings);
    let consuming = tokio::spawn(sealbus_consumer::run(subscriptions, resources, consumer, shutdown.clone()));
    let mut config = ClientConfig::new([roles[0].url.clone()], settings.require(table::TOKEN)?.expose_secret());
    config.tenant = settings.find(table::TENANT);
    let client = Client::new(config)?;
    warm_up(&client, &arrivals).await?;
    let sent = publish(&client, &args, time).await?;
    let end_to_end = Percentiles::of(arrivals.delivery_times(&sent).await);

    let baseline = commits.at(50) + acks.at(50);
    print(format_args!("commit:  {commits}"))?;
    print(format_args!("ack:     {acks}"))?;
    let ratio = end_to_end.at(50).as_secs_f64() / baseline.as_secs_f64();
    print(format_args!("e2e:     {end_to_end}; p50 is {ratio:.2} times one commit and one ack"))?;
    print(format_args!("memory:  {}", roles.iter().map(Role::memory_report).collect::<Vec<_>>().join("; ")))?;
    shutdown.cancel();
    consuming.await??;
    Ok(())
}

/// The time at which each event reached the handler.
#[derive(Default)]
struct Arrivals(Mutex<HashMap<Uuid, Instant>>);

#[async_trait::async_trait]
impl ExternalEffect for Arrivals {
    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
        let now = Instant::now();
        let mut arrivals = self.0.lock().expect("no thread panics while it holds the lock");
        arrivals.extend(batch.iter().map(|delivery| (delivery.record.header.event_id, now)));
        Ok(())
    }
}

impl Arrivals {
    fn time_of(&self, id: &Uuid) -> Option<Instant> {
        self.0.lock().expect("no thread panics while it holds the lock").get(id).copied()
    }

    /// Waits until all events have arrived, and returns the time of each from sending to arrival.
    async fn delivery_times(&self, sent: &[(Uuid, Instant)]) -> Vec<Duration> {
        let mut times = Vec::with_capacity(sent.len());
        for (id, sent_at) in sent {
            let arrived = loop {
                match self.time_of(id) {
                    Some(arrived) => break arrived,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            times.push(arrived.duration_since(*sent_at));
        }
        times
    }
}

/// Publishes until events of all partitions arrive quickly: only then does every process have its leases and consumers.
async fn warm_up(client: &Client, arrivals: &Arrivals) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_mins(1);
    let (mut n, mut quick_in_a_row) = (0_u64, 0);
    while quick_in_a_row < 64 {
        if Instant::now() > deadline {
            return Err(Failure::new("events were not delivered within 20 ms after a warm-up of one minute"));
        }
        let published = client.publish(&format!("warm-up-{n}"), &NewEvent::new("bench.event", json!(null))).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        quick_in_a_row = if arrivals.time_of(&published.event.id).is_some() { quick_in_a_row + 1 } else { 0 };
        n += 1;
    }
    Ok(())
}

/// Publishes at the rate, each event in its own call, and returns the time at which each call began.
async fn publish(client: &Client, args: &Args, time: Duration) -> Result<Vec<(Uuid, Instant)>, Failure> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let data = json!({"text": "x".repeat(args.bytes.saturating_sub(11))});
    let started = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut sent = Vec::new();
    for n in 0_u64.. {
        ticks.tick().await;
        if started.elapsed() >= time {
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

/// Measures how long JetStream takes to acknowledge single messages at the rate.
async fn ack_times(broker: &Broker, ledger: &Ledger, args: &Args) -> Result<Percentiles, Failure> {
    let mut records = ledger.history().log_page(None, 0, 1).await?.records;
    let mut record = records.pop().ok_or_else(|| Failure::new("the ledger has no event"))?;
    let payload = format!("\"{}\"", "x".repeat(args.bytes));
    record.header.payload_hash = Hash::of(payload.as_bytes());
    record.payload = Some(payload);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
    let mut times = Vec::new();
    for _ in 0..u64::from(args.rate) * args.seconds.min(5) {
        ticks.tick().await;
        // Each message is a new one, of the measured size, and of a tenant that no subscription follows.
        record.header.event_id = Uuid::now_v7();
        record.event_hash = record.header.hash();
        let message = EventMessage::encode(&record, ledger.deployment().partitions)?;
        let started = Instant::now();
        broker.publish(message).await?.acknowledged().await?;
        times.push(started.elapsed());
    }
    Ok(Percentiles::of(times))
}
