//! Support of the runtime's tests: a bus without services, consumer processes on it, and handlers that record their
//! calls.
#![allow(dead_code, reason = "each test file uses a part of it")]

mod handlers;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sealbus_broker::{Broker, EventMessage};
use sealbus_consumer::{ConsumerError, Handler, Metrics, Resources, Settings, SubscriptionSpec};
use sealbus_core::catalog::Catalog;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_core::retry::{Backoff, RetryPolicy};
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::Appender;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::dead_letters::{BlockedPosition, BlockedQuery};
use sealbus_ledger::delivery::operator::{CommandError, OperatorRequest};
use sealbus_ledger::delivery::positions::{Position, PositionState};
use sealbus_ledger::log::SealingState;
use sealbus_testkit::events::draft;
use sealbus_testkit::ledger::append;
use sealbus_testkit::{Nats, Postgres, TestBus, TestLedger, eventually_eq};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::handlers::{Recorder, Table};
pub(crate) use self::settings::{settings, sweeping};

/// A bus without services: a ledger, a broker with its streams, and an appender.
pub(crate) struct Bus {
    pub postgres: Postgres,
    pub nats: Nats,
    pub ledger: Ledger,
    pub broker: Broker,
    pub keyring: Keyring,
    pub appender: Appender,
}

/// A process that works on subscriptions.
pub(crate) struct Process {
    task: JoinHandle<Result<(), ConsumerError>>,
    shutdown: CancellationToken,
    registry: Registry,
}

impl Bus {
    pub(crate) async fn start() -> Self {
        let bus = TestBus::start("test.example/consumer").await;
        let (broker, appender) = (bus.connect_with_streams().await, bus.appender().await);
        let TestBus { ledger: TestLedger { postgres, ledger, keyring }, nats } = bus;
        Self { postgres, nats, ledger, broker, keyring, appender }
    }

    /// Appends events to a plan of tenant `acme`, as one call.
    pub(crate) async fn append(&self, plan: &str, types: &[&str]) -> Vec<Arc<Record>> {
        let events = types.iter().map(|event_type| draft(event_type, r#"{"n":1}"#)).collect();
        append(&self.appender, "acme", plan, events).await
    }

    /// Stores the messages of events in the stream, in this order.
    pub(crate) async fn send(&self, records: &[Arc<Record>]) {
        for record in records {
            self.send_message(EventMessage::encode(record, 8).unwrap()).await;
        }
    }

    /// Stores the messages of events in the stream again. `generation` makes their message ids new.
    pub(crate) async fn send_again(&self, records: &[Arc<Record>], generation: i64) {
        for record in records {
            let message = EventMessage::encode(record, 8).unwrap();
            self.nats.publish_copy(&message, &format!("{}.r{generation}", record.event_hash)).await;
        }
    }

    pub(crate) async fn send_message(&self, message: EventMessage) {
        self.broker.publish(message).await.unwrap().acknowledged().await.unwrap();
    }

    /// Appends events to a plan of tenant `acme`, and stores their messages in the stream.
    pub(crate) async fn publish(&self, plan: &str, types: &[&str]) -> Vec<Arc<Record>> {
        let records = self.append(plan, types).await;
        self.send(&records).await;
        records
    }

    /// Gives every queued event its leaf in the log.
    pub(crate) async fn seal(&self) {
        while self.ledger.log().seal_batch(1_000, &mut SealingState::default(), None).await.unwrap().leaves > 0 {}
    }

    /// Starts a process for one subscription.
    pub(crate) async fn consume(&self, spec: SubscriptionSpec, handler: Handler, settings: Settings) -> Process {
        self.consume_all(vec![(spec, handler)], settings).await
    }

    /// Starts a process for some subscriptions, with its own connections.
    pub(crate) async fn consume_all(
        &self,
        subscriptions: Vec<(SubscriptionSpec, Handler)>,
        settings: Settings,
    ) -> Process {
        let mut registry = Registry::default();
        let resources = Resources {
            ledger: sealbus_testkit::ledger::open(&self.postgres.url()).await,
            broker: self.nats.connect().await,
            keyring: self.keyring.clone(),
            catalog: Arc::new(Catalog::read(&[]).unwrap()),
            metrics: Metrics::register(&mut registry),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(sealbus_consumer::run(subscriptions, resources, settings, shutdown.clone()));
        Process { task, shutdown, registry }
    }

    /// Returns a subscription's position in a plan of tenant `acme`.
    pub(crate) async fn position(&self, subscription: &str, plan: &str) -> Option<Position> {
        let number = self.ledger.subscriptions().number(&Subscription::parse(subscription).unwrap()).await.unwrap()?;
        let plan_no = self.ledger.history().plan_no("acme", plan).await.unwrap()?;
        self.ledger.positions().read(number, &[plan_no]).await.unwrap().remove(&plan_no).map(Result::unwrap)
    }

    /// Returns the state of a subscription's position in a plan of tenant `acme`.
    pub(crate) async fn state(&self, subscription: &str, plan: &str) -> Option<PositionState> {
        self.position(subscription, plan).await.map(|position| position.state)
    }

    /// Waits until a subscription's position in a plan of tenant `acme` is in a state.
    pub(crate) async fn reaches(&self, subscription: &str, plan: &str, state: PositionState) {
        let what = format!("the state of {plan} for subscription {subscription}");
        eventually_eq(&what, Some(state), async || self.state(subscription, plan).await).await;
    }

    /// Waits until a subscription's position in a plan of tenant `acme` has a seq to apply next.
    pub(crate) async fn reaches_seq(&self, subscription: &str, plan: &str, next_seq: u64) {
        let what = format!("next_seq of {plan} for subscription {subscription}");
        let observe = async || self.position(subscription, plan).await.map(|position| position.next_seq);
        eventually_eq(&what, Some(next_seq), observe).await;
    }

    /// Waits until a plan of tenant `acme` has rows of these seqs, in this order, in the table of [`Table`].
    pub(crate) async fn has_rows(&self, plan: &str, seqs: impl IntoIterator<Item = i64>) {
        let what = format!("the rows of {plan}");
        eventually_eq(&what, seqs.into_iter().collect::<Vec<_>>(), async || self.rows(plan).await).await;
    }

    /// Returns the seqs of a plan's rows in the table of [`Table`], in the order in which they were inserted.
    pub(crate) async fn rows(&self, plan: &str) -> Vec<i64> {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar("SELECT seq FROM sealbus_sinks.applied WHERE plan = $1 ORDER BY n")
            .bind(plan)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    /// Returns the positions of a subscription that are not live.
    pub(crate) async fn blocked(&self, subscription: &str) -> Vec<BlockedPosition> {
        let subscription = Some(Subscription::parse(subscription).unwrap());
        let query = BlockedQuery { subscription, limit: 10, ..Default::default() };
        self.ledger.dead_letters().list(&query).await.unwrap().positions
    }

    /// Issues an operator's command about a subscription's position in a plan of tenant `acme`.
    pub(crate) async fn command(&self, subscription: &str, plan: &str, action: OperatorAction) {
        self.try_command(subscription, plan, action).await.unwrap();
    }

    /// Issues an operator's command as `command` does, and returns the seq that its event names.
    pub(crate) async fn try_command(
        &self,
        subscription: &str,
        plan: &str,
        action: OperatorAction,
    ) -> Result<u64, CommandError> {
        let request = OperatorRequest {
            subscription: Subscription::parse(subscription).unwrap(),
            tenant: Tenant::parse("acme").unwrap(),
            plan: Plan::parse(plan).unwrap(),
            actor: "olga".into(),
            reason: "test".into(),
        };
        self.ledger.dead_letters().issue(&self.appender, &request, action).await
    }

    /// Runs a query that returns one `bigint`, as the superuser.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.postgres.count(sql).await
    }
}

impl Process {
    /// Shuts the process down, and checks that it ends without an error.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends the process as a crash would: nothing is finished, acknowledged or released.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Returns a counter of a subscription.
    pub(crate) fn counter(&self, name: &str, subscription: &str) -> u64 {
        let counter = format!("sealbus_consumer_{name}_total{{subscription=\"{subscription}\"}}");
        self.metric(&counter).map_or(0, |count| count.parse().unwrap())
    }

    /// Returns a gauge. `name` includes its labels.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.metric(name).map_or(0.0, |value| value.parse().unwrap())
    }

    fn metric(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }
}

/// Returns a subscription to everything, from the beginning.
pub(crate) fn subscription(name: &str) -> SubscriptionSpec {
    SubscriptionSpec::new(Subscription::parse(name).unwrap())
}

/// Returns a subscription with a retry policy whose pauses are all the same.
pub(crate) fn retrying(name: &str, attempts: u32, pause: Duration) -> SubscriptionSpec {
    let retry = RetryPolicy { attempts, backoff: Backoff::Fixed, initial: pause, max: pause };
    SubscriptionSpec { retry: Some(retry), ..subscription(name) }
}
