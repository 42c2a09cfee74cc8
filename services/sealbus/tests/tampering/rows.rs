//! Damaged rows: each column of `plans`, `events` and `log_leaves` is set to null, to the extremes of its type, and to values that
//! Sealbus never writes. Each value is found, everything else is checked too, and nothing ends a verification or an export.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::bundles::{export, trust, verify};
use crate::scene::{SIZE, Scene, row_at};

/// The event whose rows are damaged.
const DAMAGED: &str = "acme/order-1/2";
/// The finding about an event of another plan that is edited in all cases. It shows that other events are checked.
const OTHER: (&str, &str) = ("EVENT_HASH", "acme/order-3/1");
/// The tables, with the constraints that are dropped so that each column takes any value.
const TABLES: [(&str, &[&str]); 3] = [
    ("plans", &["plans_pkey", "plans_tenant_plan_key"]),
    ("events", &["events_pkey", "events_id_once", "events_no_fork"]),
    ("log_leaves", &["log_leaves_pkey", "log_leaves_plan_no_seq_key"]),
];

/// A value of a column, as SQL.
#[derive(Clone, Copy)]
struct Value {
    sql: &'static str,
    /// Whether no column of this type can have the value in a record.
    is_malformed: bool,
}

/// Returns null and odd values of a type.
fn values(column_type: &str) -> impl Iterator<Item = Value> {
    let (malformed, odd): (&[_], &[_]) = match column_type {
        "bigint" => (&["-1", "-9223372036854775808"], &["0", "9223372036854775807"]),
        "integer" => (&["-1", "-2147483648"], &["0", "2147483647"]),
        "smallint" => (&["-32768", "0", "4", "32767"], &[]),
        "timestamp with time zone" => {
            (&["infinity", "-infinity", "294276-12-31 23:59:59.999999Z", "4714-11-24 00:00Z BC", "10000-01-01Z"], &[])
        }
        "bytea" => (&["", "\\x00", "\\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"], &[ZEROS]),
        "uuid" => (&[], &["00000000-0000-0000-0000-000000000000"]),
        "json" => (&[], &["null", "[]", "{\"a\":1e400}", "{\"a\":\"\\u0000\"}"]),
        "text" => (&[], &["", "\u{1b}[2J", "a|b", "a very long text that no column of a name can hold"]),
        other => panic!("no values for a column of type {other}"),
    };
    let value = |is_malformed| move |sql: &&'static str| Value { sql, is_malformed };
    let null = Value { sql: "NULL", is_malformed: true };
    [null].into_iter().chain(malformed.iter().map(value(true))).chain(odd.iter().map(value(false)))
}

/// A hash of 32 bytes that is the hash of nothing.
const ZEROS: &str = "\\x0000000000000000000000000000000000000000000000000000000000000000";

impl Value {
    fn literal(self, column_type: &str) -> String {
        let value = if self.sql == "NULL" { "NULL".to_owned() } else { format!("'{}'", self.sql) };
        format!("{value}::{column_type}")
    }
}

/// Returns the verdict at the event's place, where one is certain.
fn verdict(table: &str, column: &str, value: Value) -> Option<&'static str> {
    match (table, column) {
        // The event is then at another place, or has another verdict.
        ("plans", _)
        | ("events", "plan_no" | "seq" | "payload" | "mac" | "sig")
        | ("log_leaves", "leaf_index" | "plan_no" | "seq") => None,
        ("log_leaves", "leaf_hash") if !value.is_malformed => Some("LEAF_MISMATCH"),
        ("log_leaves", _) => Some("FORMAT"),
        _ => value.is_malformed.then_some("FORMAT"),
    }
}

async fn columns(connection: &mut PgConnection, table: &str) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = 'sealbus' AND table_name = '{table}' ORDER BY ordinal_position"
    );
    let rows = connection.fetch_all(AssertSqlSafe(sql)).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn run(connection: &mut PgConnection, sql: String) -> u64 {
    connection
        .execute(AssertSqlSafe(sql.clone()))
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
        .rows_affected()
}

#[tokio::test]
async fn a_damaged_row_is_found_and_hides_nothing() {
    let scene = Scene::start().await;
    scene.change(OTHER.1, "actor = 'somebody'").await;

    // Let each column take any value, and keep a copy of each table.
    let mut connection = scene.connect().await;
    run(&mut connection, "ALTER TABLE sealbus.plans ALTER plan_no DROP IDENTITY".into()).await;
    for (table, constraints) in TABLES {
        for constraint in constraints {
            run(&mut connection, format!("ALTER TABLE sealbus.{table} DROP CONSTRAINT {constraint}")).await;
        }
        for (column, _) in columns(&mut connection, table).await {
            run(&mut connection, format!("ALTER TABLE sealbus.{table} ALTER {column} DROP NOT NULL")).await;
        }
        run(&mut connection, format!("CREATE TABLE public.{table} AS TABLE sealbus.{table}")).await;
    }

    // Damage one column at a time, and verify.
    let mut wrong = Vec::new();
    for (table, _) in TABLES {
        let row = if table == "plans" { "tenant = 'acme' AND plan = 'order-1'".to_owned() } else { row_at(DAMAGED) };
        for (column, column_type) in columns(&mut connection, table).await {
            for value in values(&column_type) {
                let literal = value.literal(&column_type);
                let changes = format!("{row} AND {column}::text IS DISTINCT FROM {literal}::text");
                let set = format!("UPDATE sealbus.{table} SET {column} = {literal} WHERE {changes}");
                if run(&mut connection, set).await == 0 {
                    continue;
                }
                let (found, code) = scene.verify();
                let has = |wanted: (&str, &str)| found.iter().any(|(verdict, place)| (&**verdict, &**place) == wanted);
                let is_found = match verdict(table, &column, value) {
                    Some(verdict) => has((verdict, DAMAGED)),
                    // Only the request shows that its MAC is another one.
                    None if column == "request_mac" => true,
                    None => found.iter().any(|(verdict, place)| verdict != "UNANCHORED" && place != OTHER.1),
                };
                if !is_found || !has(OTHER) || code != 3 {
                    wrong.push(format!("{table}.{column} = {literal}: {found:?}, exit code {code}"));
                }
                run(&mut connection, format!("DELETE FROM sealbus.{table}")).await;
                run(&mut connection, format!("INSERT INTO sealbus.{table} TABLE public.{table}")).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_ledger_with_damaged_rows_is_exported_and_its_bundle_is_verified() {
    let scene = Scene::start().await;
    let trust = trust(&scene);
    scene.tamper("ALTER TABLE sealbus.events ALTER kid DROP NOT NULL").await;
    scene.change("acme/order-1/2", "recorded = 'infinity'").await;
    scene.change("acme/order-1/4", "payload_mode = 9").await;
    scene.change("acme/order-2/1", "kid = NULL").await;
    // A bundle is ordered by tenant, and its lines have a highest length.
    scene.change("acme/order-2/3", "tenant = 'a'").await;
    scene.change("acme/order-3/1", "payload = json_build_object('a', repeat('a', 1 << 25))").await;
    // A row without a valid seq has no place in a bundle.
    scene.change("other/order-1/2", "seq = -2").await;
    let damaged = ["acme/order-1/2", "acme/order-1/4", "acme/order-2/1", "acme/order-2/3", "acme/order-3/1"];
    let mut expected: Vec<_> = damaged.map(|place| ("FORMAT".to_owned(), place.to_owned())).into();
    expected.extend(crate::scene::UNTOUCHED.map(|(verdict, place)| (verdict.to_owned(), place.to_owned())));
    let bundle = export(&scene, &["--tenant", "acme"], "tenant");
    assert_eq!(verify(&scene, &bundle, &trust, &[]), (expected.clone(), 3));
    let bundle = export(&scene, &["--all"], "whole.tar");
    let (found, code) = verify(&scene, &bundle, &trust, &[]);
    expected.push(("MISSING_LEAF".to_owned(), "leaf 6".to_owned()));
    expected.sort();
    assert_eq!((found, code), (expected, 3), "of {SIZE} leaves");
}
