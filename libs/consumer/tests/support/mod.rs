//! What the runtime's tests share: a ledger and a broker of the test's own, and handlers that remember.
#![allow(dead_code, reason = "each test file uses a part of it")]

mod settings;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sealbus_broker::{Broker, BrokerConfig, EventMessage};
use sealbus_consumer::{
    ConsumerError, Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect, Metrics, Resources, Settings,
    SubscriptionSpec,
};
use sealbus_core::catalog::Catalog;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_core::retry::{Backoff, RetryPolicy};
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Draft, Expect};
use sealbus_ledger::delivery::positions::Position;
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_testkit::{Nats, Postgres};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::settings::{settings, sweeping};

pub(crate) const ORIGIN: &str = "test.example/consumer";

/// A bus without services: a ledger, a broker, and who appends.
pub(crate) struct Bus {
    pub postgres: Postgres,
    pub nats: Nats,
    pub ledger: Ledger,
    pub broker: Broker,
    pub keyring: Keyring,
    pub appender: Appender,
}

/// A process that works for subscriptions.
pub(crate) struct Process {
    task: JoinHandle<Result<(), ConsumerError>>,
    shutdown: CancellationToken,
    registry: Registry,
}

impl Bus {
    pub(crate) async fn start() -> Self {
        let (postgres, nats) = tokio::join!(Postgres::start(), Nats::start());
        let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
        let config = LedgerConfig::new(postgres.url());
        let creation =
            Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&config, &creation, &keyring).await.unwrap();
        let ledger = Ledger::open(&config).await.unwrap();
        let broker = nats.connect_with_streams().await;
        let appender = Appender::start(&ledger, &keyring, &AppendSettings::default(), None).unwrap();
        Self { postgres, nats, ledger, broker, keyring, appender }
    }

    /// Appends events to a plan of tenant `acme`, as one call.
    pub(crate) async fn append(&self, plan: &str, types: &[&str]) -> Vec<Arc<Record>> {
        let events = types.iter().map(|event_type| draft(event_type)).collect();
        let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse(plan).unwrap());
        let call = Call { tenant, plan, expect: Expect::Any, events };
        self.appender.append(call).await.unwrap().into_iter().map(|appended| appended.record).collect()
    }

    /// Puts events on the stream, in this order.
    pub(crate) async fn send(&self, records: &[Arc<Record>]) {
        for record in records {
            self.send_message(EventMessage::encode(record, 8).unwrap()).await;
        }
    }

    /// Puts events on the stream once more.
    pub(crate) async fn send_again(&self, records: &[Arc<Record>], generation: i64) {
        for record in records {
            let message = EventMessage::encode(record, 8).unwrap();
            self.nats.publish_copy(&message, &format!("{}.r{generation}", record.event_hash)).await;
        }
    }

    pub(crate) async fn send_message(&self, message: EventMessage) {
        self.broker.publish(message).await.unwrap().acknowledged().await.unwrap();
    }

    /// Appends events and puts them on the stream.
    pub(crate) async fn publish(&self, plan: &str, types: &[&str]) -> Vec<Arc<Record>> {
        let records = self.append(plan, types).await;
        self.send(&records).await;
        records
    }

    /// Gives everything that is queued its leaf.
    pub(crate) async fn seal(&self) {
        while self.ledger.log().seal_batch(1_000, &HashSet::new(), None).await.unwrap().leaves > 0 {}
    }

    /// Starts a process for one subscription.
    pub(crate) async fn consume(&self, spec: SubscriptionSpec, handler: Handler, settings: Settings) -> Process {
        self.consume_all(vec![(spec, handler)], settings).await
    }

    pub(crate) async fn consume_all(
        &self,
        subscriptions: Vec<(SubscriptionSpec, Handler)>,
        settings: Settings,
    ) -> Process {
        let mut registry = Registry::default();
        let resources = Resources {
            ledger: Ledger::open(&LedgerConfig::new(self.postgres.url())).await.unwrap(),
            broker: Broker::connect(BrokerConfig::new(self.nats.url(), "consumer")).await.unwrap(),
            keyring: self.keyring.clone(),
            catalog: Arc::new(Catalog::read(&[]).unwrap()),
            metrics: Metrics::register(&mut registry),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(sealbus_consumer::run(subscriptions, resources, settings, shutdown.clone()));
        Process { task, shutdown, registry }
    }

    pub(crate) async fn standing(&self, subscription: &str, plan: &str) -> Option<Position> {
        let number = self.ledger.subscriptions().number(&Subscription::parse(subscription).unwrap()).await.unwrap()?;
        let plan_no = self.ledger.history().plan_no("acme", plan).await.unwrap()?;
        self.ledger.positions().read(number, &[plan_no]).await.unwrap().remove(&plan_no)
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
    }
}

impl Process {
    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it as a crash would: nothing is finished, answered or given back.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// A counter of a subscription.
    pub(crate) fn counted(&self, name: &str, subscription: &str) -> u64 {
        let counter = format!("sealbus_consumer_{name}_total{{subscription=\"{subscription}\"}}");
        self.read(&counter).map_or(0, |count| count.parse().unwrap())
    }

    /// A gauge without labels.
    pub(crate) fn value(&self, gauge: &str) -> f64 {
        self.read(gauge).map_or(0.0, |value| value.parse().unwrap())
    }

    fn read(&self, metric: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ').map(str::to_owned))
    }
}

pub(crate) fn subscription(name: &str) -> SubscriptionSpec {
    SubscriptionSpec::new(Subscription::parse(name).unwrap())
}

/// A policy with pauses of `pause`, all the same.
pub(crate) fn retry(attempts: u32, pause: Duration) -> RetryPolicy {
    RetryPolicy { attempts, backoff: Backoff::Fixed, initial: pause, max: pause }
}

pub(crate) fn draft(event_type: &str) -> Draft {
    sealbus_testkit::events::draft(event_type, r#"{"n":1}"#)
}

/// What it is that fails, if anything does.
type Fault = Box<dyn Fn(&Record, usize) -> Result<(), String> + Send + Sync>;

/// An effect elsewhere: it remembers what it applied, in order, and how often each event was tried.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    applied: Mutex<Vec<(String, u64)>>,
    tried: Mutex<BTreeMap<(String, u64), usize>>,
    fault: Mutex<Option<Fault>>,
    gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn handler(&self) -> Handler {
        Handler::External(Arc::new(self.clone()))
    }

    /// From now on asks `fault` of each event, with the number of the try.
    pub(crate) fn fails(&self, fault: impl Fn(&Record, usize) -> Result<(), String> + Send + Sync + 'static) {
        *self.0.fault.lock().unwrap() = Some(Box::new(fault));
    }

    pub(crate) fn works(&self) {
        *self.0.fault.lock().unwrap() = None;
    }

    /// From now on each try waits for a permit of the gate.
    pub(crate) fn waits(&self) -> Arc<tokio::sync::Semaphore> {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        *self.0.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// Seqs of a plan in the order in which they were applied.
    pub(crate) fn applied(&self, plan: &str) -> Vec<u64> {
        self.0.applied.lock().unwrap().iter().filter(|(applied, _)| applied == plan).map(|(_, seq)| *seq).collect()
    }

    /// How often an event was tried.
    pub(crate) fn tried(&self, plan: &str, seq: u64) -> usize {
        self.0.tried.lock().unwrap().get(&(plan.to_owned(), seq)).copied().unwrap_or(0)
    }

    async fn one(&self, record: &Record) -> Result<(), HandlerError> {
        let key = (record.header.plan.clone(), record.header.seq);
        let n = {
            let mut tried = self.0.tried.lock().unwrap();
            let n = tried.entry(key.clone()).or_default();
            *n += 1;
            *n
        };
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        if let Some(fault) = &*self.0.fault.lock().unwrap() {
            fault(record, n).map_err(HandlerError::new)?;
        }
        self.0.applied.lock().unwrap().push(key);
        Ok(())
    }
}

#[async_trait]
impl ExternalEffect for Recorder {
    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
        for delivery in run {
            self.one(&delivery.record).await?;
        }
        Ok(())
    }
}

/// An effect in the ledger's database: a row for each event, without any constraint, so that a second effect would show.
#[derive(Clone)]
pub(crate) struct Table {
    /// What happens besides.
    pub recorder: Recorder,
    pub max_batch: usize,
}

impl Table {
    pub(crate) async fn create(bus: &Bus, max_batch: usize) -> Self {
        let owner = "SET ROLE sealbus_writer; CREATE TABLE sealbus_sinks.applied (n bigint GENERATED ALWAYS AS IDENTITY, plan text, seq bigint)";
        bus.postgres.admin(owner).await;
        Self { recorder: Recorder::new(), max_batch }
    }

    pub(crate) fn handler(&self) -> Handler {
        Handler::InLedger(Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerEffect for Table {
    fn max_batch(&self) -> usize {
        self.max_batch
    }

    async fn apply(&self, run: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        for delivery in run {
            let header = &delivery.record.header;
            sqlx::query("INSERT INTO sealbus_sinks.applied (plan, seq) VALUES ($1, $2)")
                .bind(&header.plan)
                .bind(i64::try_from(header.seq).unwrap())
                .execute(&mut *transaction)
                .await?;
            self.recorder.one(&delivery.record).await?;
        }
        Ok(())
    }
}

/// Seqs of a plan in the order of their rows.
pub(crate) async fn rows(bus: &Bus, plan: &str) -> Vec<i64> {
    let mut connection = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    sqlx::query_scalar("SELECT seq FROM sealbus_sinks.applied WHERE plan = $1 ORDER BY n")
        .bind(plan)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// A client of the broker as any tool is one: it takes no credentials from the address.
pub(crate) async fn nats_client(bus: &Bus) -> async_nats::Client {
    let address: async_nats::ServerAddr = bus.nats.url().parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    async_nats::ConnectOptions::with_user_and_password(user, password).connect(address).await.unwrap()
}
