//! Declared subscriptions feeding their sinks, on a real ledger and broker. The sweep delivers: no relay is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../libs/consumer/tests/support/settings.rs"]
mod settings;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sealbus_broker::{Broker, BrokerConfig};
use sealbus_consumer::Settings;
use sealbus_core::catalog::Catalog;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_dispatcher::{Config, DispatcherError, Metrics, Resources, file, run};
use sealbus_ledger::append::{AppendSettings, Appender, Call, Draft, Expect};
use sealbus_ledger::delivery::dead_letters::BlockedQuery;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_testkit::{Nats, Postgres, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::settings::sweeping;

struct Bus {
    postgres: Postgres,
    nats: Nats,
    ledger: Ledger,
    keyring: Keyring,
    appender: Appender,
}

struct Dispatcher {
    task: JoinHandle<Result<(), DispatcherError>>,
    shutdown: CancellationToken,
}

impl Bus {
    async fn start() -> Self {
        let (postgres, nats) = tokio::join!(Postgres::start(), Nats::start());
        let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
        let config = LedgerConfig::new(postgres.url());
        let creation =
            Creation { origin: "test".into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&config, &creation, &keyring).await.unwrap();
        let ledger = Ledger::open(&config).await.unwrap();
        let appender = Appender::start(&ledger, &keyring, &AppendSettings::default(), None).unwrap();
        Self { postgres, nats, ledger, keyring, appender }
    }

    async fn append(&self, plan: &str, count: usize) -> Vec<Arc<Record>> {
        let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse(plan).unwrap());
        let call = Call { tenant, plan, expect: Expect::Any, events: (0..count).map(draft).collect() };
        let appended = self.appender.append(call).await.unwrap();
        while self.ledger.log().seal_batch(1_000, &HashSet::new(), None).await.unwrap().leaves > 0 {}
        appended.into_iter().map(|appended| appended.record).collect()
    }

    async fn dispatch(&self, subscriptions: &str, schema: &str) -> Dispatcher {
        let declared = file::read(&[("test.yaml".to_owned(), subscriptions.to_owned())]).unwrap();
        let settings = Settings { sweep_interval: Duration::from_millis(30), ..sweeping() };
        let config = Config { subscriptions: declared, schema: schema.to_owned(), settings };
        let broker = Broker::connect(BrokerConfig::new(self.nats.url(), "dispatcher")).await.unwrap();
        broker.ensure_topology(&sealbus_testkit::stream_settings()).await.unwrap();
        let resources = Resources {
            ledger: Ledger::open(&LedgerConfig::new(self.postgres.url())).await.unwrap(),
            broker,
            keyring: self.keyring.clone(),
            catalog: Arc::new(Catalog::read(&[]).unwrap()),
            metrics: Metrics::register(&mut Registry::default()),
        };
        let shutdown = CancellationToken::new();
        Dispatcher { task: tokio::spawn(run(config, resources, shutdown.clone())), shutdown }
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap_or(-1)
    }
}

impl Dispatcher {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn draft(n: usize) -> Draft {
    Draft {
        encrypted: None,
        actor: if n == 0 { String::new() } else { "tester".into() },
        metadata: r#"{"reason":"because"}"#.into(),
        ..sealbus_testkit::events::draft("payment.settled", format!(r#"{{"amount":"{n}.00"}}"#))
    }
}

const AUDIT: &str = "subscriptions:\n  audit-storage:\n    sink: { postgres: { table: audit_log } }\n";

#[tokio::test(flavor = "multi_thread")]
async fn audit_storage_has_each_event_once_in_plan_order() {
    let bus = Bus::start().await;
    let dispatcher = bus.dispatch(AUDIT, "sealbus_sinks").await;
    for plan in 0..10 {
        bus.append(&format!("order-{plan}"), 7).await;
    }
    let records = bus.append("order-1", 1).await;
    eventually("all rows are there", async || bus.number("SELECT count(*) FROM sealbus_sinks.audit_log").await == 71)
        .await;
    let disordered = "SELECT count(*) FROM (SELECT seq, row_number() OVER (PARTITION BY tenant, plan ORDER BY n) AS at FROM sealbus_sinks.audit_log) a WHERE seq <> at";
    assert_eq!(bus.number(disordered).await, 0);
    let header = &records[0].header;
    let as_published = format!(
        "SELECT count(*) FROM sealbus_sinks.audit_log WHERE tenant = 'acme' AND plan = 'order-1' AND seq = 8 AND event_id = '{}'
            AND type = 'payment.settled' AND actor IS NULL AND occurred_at = '{}' AND data ->> 'amount' = '0.00' AND metadata ->> 'reason' = 'because'",
        header.event_id, header.occurred
    );
    assert_eq!(bus.number(&as_published).await, 1);
    dispatcher.stop().await;
    // Started again, it finds its table and does nothing twice.
    let again = bus.dispatch(AUDIT, "sealbus_sinks").await;
    bus.append("order-1", 1).await;
    eventually("it goes on", async || bus.number("SELECT count(*) FROM sealbus_sinks.audit_log").await == 72).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_in_public_shows_the_table_where_the_role_may() {
    let bus = Bus::start().await;
    let without = bus.dispatch(AUDIT, "sealbus_sinks").await;
    eventually("the table is there", async || bus.number("SELECT count(*) FROM sealbus_sinks.audit_log").await == 0)
        .await;
    assert_eq!(bus.number("SELECT count(to_regclass('public.audit_log')::text)").await, 0, "the role may not");
    without.stop().await;
    bus.postgres.admin("GRANT CREATE ON SCHEMA public TO sealbus_writer").await;
    let with = bus.dispatch(AUDIT, "sealbus_sinks").await;
    bus.append("order-1", 2).await;
    eventually("the view shows the rows", async || bus.number("SELECT count(*) FROM public.audit_log").await == 2)
        .await;
    with.stop().await;
    let named =
        bus.dispatch(&AUDIT.replace("audit_log", "other_log").replace("audit-storage", "other"), "public").await;
    eventually("the table is in public", async || bus.number("SELECT count(*) FROM public.other_log").await == 2).await;
    assert_eq!(bus.number("SELECT count(to_regclass('sealbus_sinks.other_log')::text)").await, 0);
    named.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_made_stops_the_start() {
    let bus = Bus::start().await;
    let dispatcher = bus.dispatch(&AUDIT.replace("audit_log", "nowhere.audit_log"), "sealbus_sinks").await;
    let error = dispatcher.task.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the sink of subscription audit-storage cannot be made ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_has_each_event_once_though_it_is_told_again() {
    let bus = Bus::start().await;
    let reports = Postgres::start().await;
    reports.admin("GRANT CREATE ON SCHEMA public TO sealbus_writer").await;
    let subscription = format!(
        "subscriptions:\n  reports:\n    sink: {{ postgres: {{ table: events, url: '{}' }} }}\n",
        reports.url()
    );
    let rows = async |sql: &str| -> i64 {
        let mut connection = PgConnection::connect(&reports.admin_url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap_or(-1)
    };
    let dispatcher = bus.dispatch(&subscription, "sealbus_sinks").await;
    bus.append("order-1", 5).await;
    eventually("all rows are there", async || rows("SELECT count(*) FROM public.events").await == 5).await;
    dispatcher.stop().await;
    // As after a crash between the rows and their position.
    bus.postgres.admin("DELETE FROM sealbus.positions; UPDATE sealbus.floors SET floor = 0").await;
    let again = bus.dispatch(&subscription, "sealbus_sinks").await;
    bus.append("order-1", 1).await;
    eventually("it goes on", async || rows("SELECT count(*) FROM public.events").await == 6).await;
    assert_eq!(rows("SELECT count(*) FROM public.events WHERE seq BETWEEN 1 AND 6").await, 6);
    again.stop().await;
}

fn seqs(path: &Path, plan: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.filter(|event| event["plan"] == plan).map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_are_whole_and_in_plan_order() {
    let bus = Bus::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.jsonl");
    std::fs::write(&path, "{\"plan\":\"torn").unwrap();
    let subscription = format!(
        "subscriptions:\n  archive:\n    types: [payment.*]\n    sink: {{ jsonl: {{ path: '{}' }} }}\n",
        path.display()
    );
    let dispatcher = bus.dispatch(&subscription, "sealbus_sinks").await;
    for plan in 0..5 {
        bus.append(&format!("order-{plan}"), 100).await;
    }
    let count = || (0..5).map(|plan| seqs(&path, &format!("order-{plan}")).len()).sum::<usize>();
    eventually("all lines are there", async || count() == 500).await;
    for plan in 0..5 {
        assert_eq!(seqs(&path, &format!("order-{plan}")), (1..=100).collect::<Vec<_>>());
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((first["type"].as_str(), first["tenant"].as_str()), (Some("payment.settled"), Some("acme")));
    assert!(first["seal"]["hash"].is_string() && first["log_index"].is_u64());
    dispatcher.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flaky_fails_by_rule_and_only_there() {
    let bus = Bus::start().await;
    let subscriptions = "subscriptions:
  recovers: { sink: { flaky: { plans: ['unlucky-*'], fails: 2 } }, retry: { attempts: 3, backoff: fixed, initial: 5ms } }
  gives-up: { sink: { flaky: { plans: ['unlucky-*'], fails: always } }, retry: { attempts: 3, backoff: fixed, initial: 5ms } }
";
    let dispatcher = bus.dispatch(subscriptions, "sealbus_sinks").await;
    bus.append("unlucky-1", 2).await;
    bus.append("lucky-1", 2).await;
    let through = "SELECT count(*) FROM sealbus.positions p JOIN sealbus.subscriptions s USING (subscription_no) JOIN sealbus.plans USING (plan_no)
        WHERE next_seq = 3 AND state = 'live' AND (name = 'recovers' OR plan = 'lucky-1')";
    eventually("what can pass has passed", async || bus.number(through).await == 3).await;
    eventually("the rest is dead", async || {
        bus.ledger
            .dead_letters()
            .list(&BlockedQuery { limit: 10, states: vec![PositionState::Dead], ..BlockedQuery::default() })
            .await
            .unwrap()
            .len()
            == 1
    })
    .await;
    let owed = bus.ledger.dead_letters().list(&BlockedQuery { limit: 10, ..BlockedQuery::default() }).await.unwrap();
    assert_eq!(
        (owed[0].subscription.as_str(), owed[0].plan.as_str(), owed[0].seq, owed[0].attempts),
        ("gives-up", "unlucky-1", 1, 3)
    );
    assert_eq!(owed[0].last_error.as_deref(), Some("flaky: attempt 3 for gives-up/acme/unlucky-1/1 fails by rule"));
    dispatcher.stop().await;
}
