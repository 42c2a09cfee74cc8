//! Support for the relay's tests: a bus, relays on it, and what they published.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sealbus_broker::ConsumerSpec;
use sealbus_core::event::Record;
use sealbus_core::names::Subscription;
use sealbus_ledger::append::{Appender, Hint};
use sealbus_relay::{Config, Error, Metrics, Resources, run};
use sealbus_testkit::events::numbered;
use sealbus_testkit::{Postgres, TestBus, eventually, ledger, stream_settings};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The origin of every test's ledger.
pub(crate) const ORIGIN: &str = "test.example/relay";
/// An interval that is longer than any test.
pub(crate) const DISABLED: Duration = Duration::from_hours(1);

/// A ledger of eight partitions and a broker.
pub(crate) struct World(TestBus);

impl Deref for World {
    type Target = TestBus;

    fn deref(&self) -> &TestBus {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut TestBus {
        &mut self.0
    }
}

/// A relay that runs in this process.
pub(crate) struct Relay {
    pub metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Relay {
    /// Shuts the relay down, and waits until it has given its leases back.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the relay panicked").expect("the relay failed");
    }

    /// Aborts the relay, as a crash would. It gives nothing back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self(TestBus::start(ORIGIN).await)
    }

    pub(crate) async fn on(postgres: Postgres) -> Self {
        Self(TestBus::on(postgres, ORIGIN).await)
    }

    /// Starts a relay with the intervals of [`config`].
    pub(crate) async fn relay(&self, owner: &str) -> Relay {
        self.relay_with(config(owner)).await
    }

    pub(crate) async fn relay_with(&self, config: Config) -> Relay {
        let metrics = Metrics::register(&mut Registry::default());
        let resources = Resources {
            ledger: self.open_again().await,
            broker: self.connect().await,
            keyring: Arc::new(self.keyring.clone()),
            metrics: metrics.clone(),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(config, resources, shutdown.clone()));
        Relay { metrics, shutdown, task }
    }

    /// Starts an appender that sends a hint of each event.
    pub(crate) async fn hinting_appender(&self) -> Appender {
        let (hints, mut committed) = mpsc::channel::<Vec<Hint>>(1_000);
        let broker = self.connect().await;
        tokio::spawn(async move {
            while let Some(hints) = committed.recv().await {
                for Hint { outbox_id, partition, record } in hints {
                    broker.hint(partition, outbox_id, &record);
                }
            }
        });
        Appender::start(&self.open_again().await, &self.keyring, &ledger::append_settings(), Some(hints)).unwrap()
    }

    /// Returns the number of rows in the outbox.
    pub(crate) async fn outbox_rows(&self) -> i64 {
        self.query_number("SELECT count(*) FROM sealbus.outbox").await
    }

    pub(crate) async fn outbox_is_empty(&self) {
        eventually("the outbox is empty", async || self.outbox_rows().await == 0).await;
    }

    /// Returns the number that a query yields, as the superuser.
    pub(crate) async fn query_number(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
    }

    /// Returns all events in the stream, in its order.
    pub(crate) async fn stream(&self) -> Vec<Record> {
        let broker = self.connect().await;
        let count = usize::try_from(broker.events_state().await.unwrap().messages).unwrap();
        let name = format!("look-{}x", &Uuid::new_v4().simple().to_string()[..12]);
        let subscription = Subscription::parse(&name).unwrap();
        let spec = ConsumerSpec { subscription, partition: None, from_now: false, ack_wait: Duration::from_secs(10) };
        let mut deliveries = broker.deliveries(spec);
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            for delivered in deliveries.next_batch().await {
                records.push(delivered.record.expect("the stream has a message that is not an event"));
                delivered.handle.ack().await;
            }
        }
        records
    }

    /// Returns the seqs of each plan of tenant `acme`, in the order of the stream.
    pub(crate) async fn seqs(&self) -> BTreeMap<String, Vec<u64>> {
        let mut plans = BTreeMap::<String, Vec<u64>>::new();
        for record in self.stream().await {
            if record.header.tenant == "acme" {
                plans.entry(record.header.plan).or_default().push(record.header.seq);
            }
        }
        plans
    }
}

/// Returns settings with short intervals.
pub(crate) fn config(owner: &str) -> Config {
    Config {
        owner: owner.to_owned(),
        lease_kind: "relay".to_owned(),
        topology: stream_settings(),
        max_in_flight: 64,
        page_rows: 500,
        max_memory_bytes: 4 << 20,
        scan_interval: Duration::from_millis(50),
        full_scan_interval: Duration::from_millis(500),
        low_water_interval: Duration::from_millis(10),
        lease_duration: Duration::from_secs(3),
        lease_renew_interval: Duration::from_millis(100),
        beacon_interval: Duration::from_millis(100),
        beacon_retention: Duration::from_hours(24),
        measure_interval: Duration::from_millis(200),
        drain_timeout: Duration::from_secs(20),
    }
}

/// Appends `count` events to a plan of tenant `acme` in one call.
pub(crate) async fn append(appender: &Appender, plan: &str, count: u64) -> Vec<Record> {
    let stored = ledger::append(appender, "acme", plan, (1..=count).map(numbered).collect()).await;
    stored.into_iter().map(|record| record.as_ref().clone()).collect()
}

/// Returns the seqs of `plans` plans with `events` events each, in order and without duplicates.
pub(crate) fn in_order(plans: usize, events: u64) -> BTreeMap<String, Vec<u64>> {
    (0..plans).map(|plan| (format!("order-{plan}"), (1..=events).collect())).collect()
}

/// Appends `events` events to each of `plans` plans, concurrently and one event per call.
pub(crate) async fn load(appenders: &[Appender], plans: usize, events: u64) {
    let mut tasks = Vec::new();
    for plan in 0..plans {
        let appender = appenders[plan % appenders.len()].clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..events {
                append(&appender, &format!("order-{plan}"), 1).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}
