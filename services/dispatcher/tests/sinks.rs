//! Declared subscriptions that feed their sinks, on a real ledger and broker. The sweep delivers, so no relay is
//! needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../libs/consumer/tests/support/settings.rs"]
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sealbus_consumer::Settings;
use sealbus_core::catalog::Catalog;
use sealbus_core::event::Record;
use sealbus_dispatcher::{Config, DispatcherError, Metrics, Resources, file, run};
use sealbus_ledger::append::{Appender, Draft};
use sealbus_ledger::delivery::dead_letters::BlockedQuery;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::ledger::append;
use sealbus_testkit::{Postgres, TestBus, eventually, eventually_eq};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::settings::sweeping;

const AUDIT: &str = "subscriptions:\n  audit-storage:\n    sink: { postgres: { table: audit_log } }\n";
const SCHEMA: &str = "sealbus_sinks";

/// A ledger, a broker, and an appender.
struct Bus {
    bus: TestBus,
    appender: Appender,
}

struct Dispatcher {
    task: JoinHandle<Result<(), DispatcherError>>,
    shutdown: CancellationToken,
    registry: Registry,
}

impl Bus {
    async fn start() -> Self {
        let bus = TestBus::start("test.example/dispatcher").await;
        let appender = bus.appender().await;
        Self { bus, appender }
    }

    /// Appends events to a plan of tenant `acme`, and seals them.
    async fn append(&self, plan: &str, count: usize) -> Vec<Arc<Record>> {
        let records = append(&self.appender, "acme", plan, (0..count).map(payment).collect()).await;
        self.bus.seal().await;
        records
    }

    /// Starts a dispatcher with these declared subscriptions.
    async fn dispatch(&self, subscriptions: &str, schema: &str) -> Dispatcher {
        self.dispatch_with(subscriptions, schema, sweeping()).await
    }

    async fn dispatch_with(&self, subscriptions: &str, schema: &str, settings: Settings) -> Dispatcher {
        let subscriptions = file::read(&[("test.yaml".to_owned(), subscriptions.to_owned())]).unwrap();
        let settings = Settings { sweep_interval: Duration::from_millis(30), ..settings };
        let config = Config { subscriptions, schema: schema.to_owned(), settings };
        let mut registry = Registry::default();
        let resources = Resources {
            ledger: self.bus.open_again().await,
            broker: self.bus.connect_with_streams().await,
            keyring: self.bus.keyring.clone(),
            catalog: Arc::new(Catalog::read(&[]).unwrap()),
            metrics: Metrics::register(&mut registry),
        };
        let shutdown = CancellationToken::new();
        Dispatcher { task: tokio::spawn(run(config, resources, shutdown.clone())), shutdown, registry }
    }

    async fn number(&self, sql: &str) -> i64 {
        number(&self.bus.postgres, sql).await
    }
}

impl Dispatcher {
    /// Returns how many calls of the handler of a subscription failed.
    fn failed_calls(&self, subscription: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let metric = format!("sealbus_consumer_failed_total{{subscription=\"{subscription}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(metric.as_str())?.parse().ok()).unwrap_or(0)
    }

    /// Shuts the dispatcher down, and checks that it ends without an error.
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Returns the `bigint` of a query, or -1 while it cannot be answered, such as before its table is created.
async fn number(postgres: &Postgres, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap_or(-1)
}

/// Returns a payment of `n` units. The first one has no actor.
fn payment(n: usize) -> Draft {
    Draft {
        encrypted: None,
        actor: if n == 0 { String::new() } else { "tester".into() },
        metadata: r#"{"reason":"because"}"#.into(),
        ..sealbus_testkit::events::draft("payment.settled", format!(r#"{{"amount":"{n}.00"}}"#))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_storage_has_each_event_once_in_plan_order() {
    let bus = Bus::start().await;
    let rows = async || bus.number("SELECT count(*) FROM sealbus_sinks.audit_log").await;
    let dispatcher = bus.dispatch(AUDIT, SCHEMA).await;
    for plan in 0..10 {
        bus.append(&format!("order-{plan}"), 7).await;
    }
    let records = bus.append("order-1", 1).await;

    // Every event has a row, and the rows of each plan are in order.
    eventually_eq("the rows", 71, rows).await;
    let disordered = "SELECT count(*) FROM (SELECT seq, row_number() OVER (PARTITION BY tenant, plan ORDER BY n) AS place FROM sealbus_sinks.audit_log) a WHERE seq <> place";
    assert_eq!(bus.number(disordered).await, 0, "rows are out of order");

    // A row has the fields of its event.
    let header = &records[0].header;
    let as_published = format!(
        "SELECT count(*) FROM sealbus_sinks.audit_log WHERE tenant = 'acme' AND plan = 'order-1' AND seq = 8 AND event_id = '{}'
            AND type = 'payment.settled' AND actor IS NULL AND occurred_at = '{}' AND data ->> 'amount' = '0.00' AND metadata ->> 'reason' = 'because'",
        header.event_id, header.occurred
    );
    assert_eq!(bus.number(&as_published).await, 1);
    dispatcher.stop().await;

    // A dispatcher that is started again uses the same table, and inserts nothing twice.
    let again = bus.dispatch(AUDIT, SCHEMA).await;
    bus.append("order-1", 1).await;
    eventually_eq("the rows", 72, rows).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_in_public_shows_the_table_where_the_role_may() {
    let bus = Bus::start().await;

    // The role may not create a view in schema public.
    let without = bus.dispatch(AUDIT, SCHEMA).await;
    let rows = async || bus.number("SELECT count(*) FROM sealbus_sinks.audit_log").await;
    eventually_eq("the rows of the new table", 0, rows).await;
    assert_eq!(bus.number("SELECT count(to_regclass('public.audit_log')::text)").await, 0);
    without.stop().await;

    // Once the role has the privilege, the view is created and shows the rows.
    bus.bus.postgres.admin("GRANT CREATE ON SCHEMA public TO sealbus_writer").await;
    let with = bus.dispatch(AUDIT, SCHEMA).await;
    bus.append("order-1", 2).await;
    let shown = async || bus.number("SELECT count(*) FROM public.audit_log").await;
    eventually_eq("the rows of the view", 2, shown).await;
    with.stop().await;

    // If schema public is the default, the table itself is created in it.
    let other = AUDIT.replace("audit_log", "other_log").replace("audit-storage", "other");
    let in_public = bus.dispatch(&other, "public").await;
    let rows = async || bus.number("SELECT count(*) FROM public.other_log").await;
    eventually_eq("the rows of the table in public", 2, rows).await;
    assert_eq!(bus.number("SELECT count(to_regclass('sealbus_sinks.other_log')::text)").await, 0);
    in_public.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_created_stops_the_start() {
    let bus = Bus::start().await;
    let dispatcher = bus.dispatch(&AUDIT.replace("audit_log", "nowhere.audit_log"), SCHEMA).await;
    let error = dispatcher.task.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the sink of subscription audit-storage cannot be prepared");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_has_each_event_once_even_if_it_is_delivered_again() {
    let bus = Bus::start().await;
    let reports = Postgres::start().await;
    reports.admin("GRANT CREATE ON SCHEMA public TO sealbus_writer").await;
    let subscription = format!(
        "subscriptions:\n  reports:\n    sink: {{ postgres: {{ table: events, url: '{}' }} }}\n",
        reports.url()
    );
    let rows = async || number(&reports, "SELECT count(*) FROM public.events").await;
    let dispatcher = bus.dispatch(&subscription, SCHEMA).await;
    bus.append("order-1", 5).await;
    eventually_eq("the rows", 5, rows).await;
    dispatcher.stop().await;

    // The positions are lost, as after a crash between the rows and their positions. All events are delivered again.
    bus.bus.postgres.admin("DELETE FROM sealbus.positions; UPDATE sealbus.floors SET floor = 0").await;
    let again = bus.dispatch(&subscription, SCHEMA).await;
    bus.append("order-1", 1).await;
    eventually_eq("the rows", 6, rows).await;
    assert_eq!(number(&reports, "SELECT count(*) FROM public.events WHERE seq BETWEEN 1 AND 6").await, 6);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_of_another_database_holds_up_its_own_plan_only() {
    let bus = Bus::start().await;
    let reports = Postgres::start().await;
    reports.admin("GRANT CREATE ON SCHEMA public TO sealbus_writer").await;
    let subscription = format!(
        "subscriptions:\n  reports:\n    sink: {{ postgres: {{ table: events, url: '{}' }} }}\n",
        reports.url()
    );
    // A handler may take longer than a call waits for a connection.
    let settings = Settings { handler_timeout: Duration::from_secs(30), ..sweeping() };
    let dispatcher = bus.dispatch_with(&subscription, SCHEMA, settings).await;
    bus.append("order-0", 1).await;
    let rows = async || number(&reports, "SELECT count(*) FROM public.events").await;
    eventually_eq("the rows", 1, rows).await;

    // More plans wait for locked rows than there are connections.
    let mut holder = PgConnection::connect(&reports.admin_url()).await.unwrap();
    let lock = "BEGIN; INSERT INTO public.events (tenant, plan, seq, event_id, type, occurred_at, metadata)
        SELECT 'acme', 'hot-' || n, 1, gen_random_uuid(), 'x', now(), '{}' FROM generate_series(1, 12) n";
    holder.execute(lock).await.unwrap();
    for plan in 1..=12 {
        bus.append(&format!("hot-{plan}"), 1).await;
    }
    bus.append("order-1", 3).await;
    let others = async || number(&reports, "SELECT count(*) FROM public.events WHERE plan LIKE 'order-%'").await;
    eventually_eq("the rows of the other plan", 4, others).await;

    // A plan is called more often than the default policy has attempts, and none of the calls counts.
    eventually("a plan is called more than three times", async || dispatcher.failed_calls("reports") > 12 * 3).await;
    assert_eq!(bus.number("SELECT count(*) FROM sealbus.attempts").await, 0, "a call that lost a lock is an attempt");
    assert_eq!(bus.number("SELECT count(*) FROM sealbus.positions WHERE state IN ('parked', 'dead')").await, 0);

    holder.execute("ROLLBACK").await.unwrap();
    eventually_eq("the rows", 16, rows).await;
    dispatcher.stop().await;
}

/// Returns the seqs of a plan's lines in a file of JSON lines, which may end with an incomplete line.
fn seqs(path: &Path, plan: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["plan"] == plan).map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_are_whole_and_in_plan_order() {
    let bus = Bus::start().await;
    // The file ends with a line that a crash cut off.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.jsonl");
    std::fs::write(&path, "{\"plan\":\"torn").unwrap();
    let subscription = format!(
        "subscriptions:\n  archive:\n    types: [payment.*]\n    sink: {{ jsonl: {{ path: '{}' }} }}\n",
        path.display()
    );
    let dispatcher = bus.dispatch(&subscription, SCHEMA).await;
    for plan in 0..5 {
        bus.append(&format!("order-{plan}"), 100).await;
    }

    for plan in 0..5 {
        let what = format!("the lines of order-{plan}");
        let expected: Vec<u64> = (1..=100).collect();
        eventually_eq(&what, expected, async || seqs(&path, &format!("order-{plan}"))).await;
    }
    dispatcher.stop().await;

    // All lines are complete, and show their events.
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 500);
    let first = &lines[0];
    assert_eq!((first["type"].as_str(), first["tenant"].as_str()), (Some("payment.settled"), Some("acme")));
    assert!(first["seal"]["hash"].is_string() && first["log_index"].is_u64(), "the line has no seal or index: {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_sink_fails_by_its_rule_and_only_there() {
    let bus = Bus::start().await;
    let subscriptions = "subscriptions:
  recovers: { sink: { flaky: { plans: ['unlucky-*'], fails: 2 } }, retry: { attempts: 3, backoff: fixed, initial: 5ms } }
  gives-up: { sink: { flaky: { plans: ['unlucky-*'], fails: always } }, retry: { attempts: 3, backoff: fixed, initial: 5ms } }
";
    let dispatcher = bus.dispatch(subscriptions, SCHEMA).await;
    bus.append("unlucky-1", 2).await;
    bus.append("lucky-1", 2).await;

    // Three of the four positions reach the end of their plans.
    let applied = "SELECT count(*) FROM sealbus.positions p JOIN sealbus.subscriptions s USING (subscription_no) JOIN sealbus.plans USING (plan_no)
        WHERE next_seq = 3 AND state = 'live' AND (name = 'recovers' OR plan = 'lucky-1')";
    eventually_eq("the positions at the end of their plans", 3, async || bus.number(applied).await).await;

    // The fourth is a dead letter.
    let dead = BlockedQuery { limit: 10, states: vec![PositionState::Dead], ..BlockedQuery::default() };
    let dead_letters = async || bus.bus.ledger.ledger.dead_letters().list(&dead).await.unwrap().positions.len();
    eventually_eq("the dead letters", 1, dead_letters).await;
    let all = BlockedQuery { limit: 10, ..BlockedQuery::default() };
    let blocked = bus.bus.ledger.ledger.dead_letters().list(&all).await.unwrap().positions.remove(0);
    assert_eq!(
        (blocked.subscription.as_str(), blocked.plan.as_str(), blocked.seq, blocked.attempts),
        ("gives-up", "unlucky-1", 1, 3)
    );
    assert_eq!(blocked.last_error.as_deref(), Some("flaky: attempt 3 for gives-up/acme/unlucky-1/1 fails by rule"));
    dispatcher.stop().await;
}
