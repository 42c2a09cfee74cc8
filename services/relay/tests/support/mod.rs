//! What the relay's tests share: a ledger and a broker of the test's own, relays on them, and a look at what came through.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, BrokerConfig, ConsumerSpec};
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect, Hint};
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_relay::{Config, Error, Metrics, Resources, run};
use sealbus_testkit::events::numbered;
use sealbus_testkit::{Nats, Postgres, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "test.example/relay";
/// An interval that no test lives to see.
pub(crate) const NEVER: Duration = Duration::from_hours(1);

/// A ledger of eight partitions and a broker.
pub(crate) struct World {
    pub postgres: Postgres,
    pub nats: Nats,
    pub keyring: Keyring,
}

/// A relay in this process.
pub(crate) struct Relay {
    pub metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Relay {
    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it does not panic").expect("it ends well");
    }

    /// Ends it as a crash would: nothing is given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::on(Postgres::start().await).await
    }

    pub(crate) async fn on(postgres: Postgres) -> Self {
        let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
        let creation =
            Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&LedgerConfig::new(postgres.url()), &creation, &keyring).await.unwrap();
        Self { postgres, nats: Nats::start().await, keyring }
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        Ledger::open(&LedgerConfig::new(self.postgres.url())).await.unwrap()
    }

    pub(crate) async fn broker(&self) -> Broker {
        let config =
            BrokerConfig { answer_timeout: Duration::from_secs(2), ..BrokerConfig::new(self.nats.url(), "test") };
        Broker::connect(config).await.unwrap()
    }

    /// A relay that leaves nothing to chance for long.
    pub(crate) async fn relay(&self, holder: &str) -> Relay {
        self.relay_with(config(holder)).await
    }

    pub(crate) async fn relay_with(&self, config: Config) -> Relay {
        let metrics = Metrics::default();
        let resources = Resources {
            ledger: self.ledger().await,
            broker: self.broker().await,
            keyring: Arc::new(self.keyring.clone()),
            metrics: metrics.clone(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, resources, stop.clone()));
        Relay { metrics, stop, task }
    }

    /// Appends without a word to any relay.
    pub(crate) async fn appender(&self) -> Appender {
        Appender::start(&self.ledger().await, &self.keyring, &AppendSettings::default(), None).unwrap()
    }

    /// Appends, and hints what it has appended.
    pub(crate) async fn hinting_appender(&self) -> Appender {
        let (hints, mut committed) = mpsc::channel::<Vec<Hint>>(1_000);
        let broker = self.broker().await;
        tokio::spawn(async move {
            while let Some(hints) = committed.recv().await {
                for Hint { outbox_id, partition, record } in hints {
                    broker.hint(partition, outbox_id, &record);
                }
            }
        });
        Appender::start(&self.ledger().await, &self.keyring, &AppendSettings::default(), Some(hints)).unwrap()
    }

    /// Rows that are owed.
    pub(crate) async fn owed(&self) -> i64 {
        self.number("SELECT count(*) FROM sealbus.outbox").await
    }

    pub(crate) async fn nothing_is_owed(&self) {
        eventually("nothing is owed", async || self.owed().await == 0).await;
    }

    /// A number that the superuser asks for.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
    }

    /// All that the stream holds, in its order.
    pub(crate) async fn stream(&self) -> Vec<Record> {
        let broker = self.broker().await;
        let count = usize::try_from(broker.events_state().await.unwrap().messages).unwrap();
        let name = format!("look-{}x", &Uuid::new_v4().simple().to_string()[..12]);
        let subscription = Subscription::parse(&name).unwrap();
        let mut deliveries = broker.deliveries(ConsumerSpec::new(subscription, None, Duration::from_secs(10), 512));
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            for delivered in deliveries.next_batch().await {
                records.push(delivered.record.expect("only events are there"));
                delivered.handle.ack().await;
            }
        }
        records
    }

    /// The seqs of each of tenant `acme`'s plans, in the stream's order.
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

/// The client itself, for what only an operator does.
pub(crate) async fn client(world: &World) -> async_nats::Client {
    let url: async_nats::ServerAddr = world.nats.url().parse().unwrap();
    let (user, password) = (url.username().unwrap().to_owned(), url.password().unwrap().to_owned());
    async_nats::ConnectOptions::with_user_and_password(user, password).connect(url).await.unwrap()
}

/// Settings that make a test short.
pub(crate) fn config(holder: &str) -> Config {
    Config {
        sweep: Duration::from_millis(50),
        full_sweep: Duration::from_millis(500),
        bound_every: Duration::from_millis(10),
        lease: Duration::from_secs(3),
        renew: Duration::from_millis(100),
        beacons: Duration::from_millis(100),
        depth: Duration::from_millis(200),
        drain: Duration::from_secs(20),
        topology: topology(),
        ..Config::new(holder)
    }
}

pub(crate) fn topology() -> TopologySettings {
    TopologySettings { max_bytes: 256 << 20, ..TopologySettings::default() }
}

/// Appends so many events to a plan of tenant `acme`, in one call.
pub(crate) async fn append(appender: &Appender, plan: &str, count: u64) -> Vec<Record> {
    let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse(plan).unwrap());
    let call = Call { tenant, plan, expect: Expect::Any, events: (1..=count).map(numbered).collect() };
    let stored = appender.append(call).await.unwrap();
    stored.into_iter().map(|one| (*one.record).clone()).collect()
}

/// Every plan's events from 1 on, each once.
pub(crate) fn in_order(plans: usize, events: u64) -> BTreeMap<String, Vec<u64>> {
    (0..plans).map(|plan| (format!("order-{plan}"), (1..=events).collect())).collect()
}

/// Several callers at once append to every plan, so many events in all.
pub(crate) async fn load(appenders: &[Appender], plans: usize, events: u64) {
    let mut callers = Vec::new();
    for caller in 0..plans {
        let appender = appenders[caller % appenders.len()].clone();
        callers.push(tokio::spawn(async move {
            for _ in 0..events {
                append(&appender, &format!("order-{caller}"), 1).await;
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}
