//! Encrypted events from one end to the other: published, read by those who may and those who may not, and erased.

use axum::http::Method;
use futures::future::join_all;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::Tenant;
use sealbus_ledger::append::{AppendSettings, Appender};
use sealbus_ledger::data_keys::{EraseError, Erasure, ErasureOrder};
use sealbus_ledger::{Ledger, LedgerConfig};
use sealbus_testkit::Postgres;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::tests::support::{Publisher, answer, keyring, ledger_in};

const ID: &str = "0197f2a1-0000-7000-8000-00000000000a";
const SUBJECT: &str = "Ada Lovelace";
const SECRET: &str = "the-secret-of-ada";

fn about(subject: &str, secret: &str) -> Value {
    json!({ "type": "private.note", "data": { "who": subject, "text": secret },
            "metadata": { "ip": format!("ip-{secret}"), "reason": "clear" } })
}

fn about_ada() -> Value {
    about(SUBJECT, SECRET)
}

/// A publisher on a database that the test looks into.
async fn start() -> (Postgres, Publisher) {
    let postgres = Postgres::start().await;
    let publisher = Publisher::on(ledger_in(&postgres).await, |_| {}).await;
    (postgres, publisher)
}

async fn erase_because(ledger: &Ledger, reason: &str) -> Result<Erasure, EraseError> {
    let appender = Appender::start(ledger, &keyring(), &AppendSettings::default(), None).unwrap();
    let order = ErasureOrder {
        tenant: Tenant::parse("acme").unwrap(),
        subject: DataSubject::parse(SUBJECT).unwrap(),
        actor: "officer".into(),
        reason: reason.into(),
    };
    ledger.data_keys().erase(&appender, &order).await
}

async fn erase(ledger: &Ledger) -> Erasure {
    erase_because(ledger, "ticket 17").await.unwrap()
}

/// All rows of all tables as text, as the superuser sees them.
async fn whole_database(postgres: &Postgres) -> String {
    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.contains(&"sealbus.data_keys".to_owned()) && tables.contains(&"sealbus.events".to_owned()));
    let mut all = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t");
        all += &sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
    }
    all
}

async fn rows(postgres: &Postgres) -> i64 {
    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM sealbus.data_keys").fetch_one(&mut connection).await.unwrap()
}

fn is_envelope(event: &Value) -> bool {
    event["data"]["scheme"] == "sealbus/envelope/v2" && event.get("unopened").is_none()
}

fn is_open(event: &Value) -> bool {
    event["data"] == about_ada()["data"] && event.get("unopened").is_none()
}

fn is_erased(event: &Value) -> bool {
    event["data"].is_null() && event["unopened"] == "ERASED"
}

/// The first event of plan `p` by every reading there is: its data and `unopened`.
async fn all_readings(publisher: &Publisher, id: &str, token: &str) -> Vec<Value> {
    let cloud = async |path: &str| {
        answer(publisher.call(Method::GET, path, token).header("accept", "application/cloudevents+json")).await.body
    };
    let log = publisher.get("/v1/events", token).await.body["events"].clone();
    let in_log = log.as_array().unwrap().iter().find(|event| event["plan"] == "p").unwrap().clone();
    let mut stream = publisher.stream("/v1/plans/p/events/stream", token, Some(0)).await;
    let binary = publisher.get(&format!("/v1/events/{id}/data"), token).await;
    let mut of_binary = json!({ "data": binary.body });
    if !binary.header("ce-unopened").is_empty() {
        of_binary["unopened"] = json!(binary.header("ce-unopened"));
    }
    vec![
        publisher.get(&format!("/v1/events/{id}"), token).await.body,
        publisher.get("/v1/plans/p/events", token).await.body["events"][0].clone(),
        in_log,
        stream.next().await.unwrap().1,
        cloud(&format!("/v1/events/{id}")).await,
        cloud("/v1/plans/p/events").await[0].clone(),
        of_binary,
    ]
}

#[tokio::test]
async fn those_with_the_right_see_into_it_and_others_see_the_envelope_until_it_is_erased() {
    let (postgres, publisher) = start().await;
    let stored = publisher.publish("p", &about_ada()).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    assert!(is_envelope(&stored.body), "the publisher's token may not open: {stored:?}");
    publisher.seal().await;
    let id = stored.body["id"].as_str().unwrap();
    let all = whole_database(&postgres).await;
    assert!(!all.contains(SECRET) && all.matches(SUBJECT).count() == 1, "the name stands beside its key alone");
    for reading in all_readings(&publisher, id, "opener").await {
        assert!(is_open(&reading), "{reading}");
    }
    for reading in all_readings(&publisher, id, "reader").await {
        assert!(is_envelope(&reading), "{reading}");
    }
    let path = format!("/v1/events/{id}");
    let (open, closed) = (publisher.get(&path, "opener").await.body, publisher.get(&path, "reader").await.body);
    assert_eq!(
        (&open["metadata"]["ip"], &open["metadata"]["reason"]),
        (&json!(format!("ip-{SECRET}")), &json!("clear"))
    );
    assert!(closed["metadata"].get("ip").is_none() && closed["metadata"]["reason"] == "clear");

    let erased = erase(&publisher.ledger).await;
    assert_eq!((erased.keys.len(), erased.redone), (1, 0));
    publisher.seal().await;
    for token in ["opener", "reader"] {
        for reading in all_readings(&publisher, id, token).await {
            assert!(is_erased(&reading), "{token}: {reading}");
        }
    }
    assert_eq!(publisher.get(&path, "opener").await.body["seal"], open["seal"], "nothing of the event has changed");
    let said = publisher.trail("_erasures").await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["data"], json!({ "keys": erased.keys, "reason": "ticket 17" }));
    assert_eq!((&said[0]["type"], &said[0]["actor"]), (&json!("subject.erased"), &json!("officer")));
    let all = whole_database(&postgres).await;
    assert!(!all.contains(SUBJECT) && !all.contains(SECRET));
    assert_eq!(publisher.get("/v1/plans/p/verification", "acme").await.body["verdict"], "ok");
}

#[tokio::test]
async fn a_repeat_is_known_other_content_is_not_and_after_an_erasure_nobody_can_tell() {
    let (postgres, publisher) = start().await;
    let with_id = |mut event: Value| {
        event["id"] = json!(ID);
        event
    };
    let first = publisher.publish("p", &with_id(about_ada())).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = publisher.publish("p", &with_id(about_ada())).await;
    assert_eq!((again.status, &again.body["seal"]), (200, &first.body["seal"]));
    publisher.publish("p", &with_id(about(SUBJECT, "other"))).await.is_problem("id_conflict");
    publisher.publish("p", &with_id(about("Grace", SECRET))).await.is_problem("id_conflict");
    publisher.publish("q", &with_id(about_ada())).await.is_problem("id_conflict");
    erase(&publisher.ledger).await;
    publisher.publish("p", &with_id(about_ada())).await.is_problem("id_conflict");
    assert!(!whole_database(&postgres).await.contains(SUBJECT), "a repeat brings the name back");
    assert_eq!(publisher.trail("p").await.len(), 1);
}

#[tokio::test]
async fn a_subject_that_comes_back_gets_a_new_key() {
    let (_postgres, publisher) = start().await;
    publisher.publish("p", &about_ada()).await;
    let erased = erase(&publisher.ledger).await;
    let back = publisher.publish("p", &about_ada()).await;
    assert_eq!(back.status, 201, "{back:?}");
    assert_ne!(back.body["data"]["key"], json!(erased.keys[0]));
    let events = publisher.get("/v1/plans/p/events", "opener").await.body["events"].clone();
    assert!(is_erased(&events[0]) && is_open(&events[1]), "{events}");
    assert_eq!(json!(erase(&publisher.ledger).await.keys), json!([back.body["data"]["key"]]));
    assert_eq!(erase(&publisher.ledger).await, Erasure::default(), "there is nothing left to erase");
    assert_eq!(publisher.trail("_erasures").await.len(), 2, "nothing erased, nothing said");
}

#[tokio::test]
async fn every_way_of_publishing_encrypts() {
    let (postgres, publisher) = start().await;
    let array = json!([about_ada(), { "type": "any.a", "data": 1 }, about("Grace", SECRET), about_ada()]);
    let answered = publisher.publish("p", &array).await;
    assert_eq!(answered.status, 201, "{answered:?}");
    let key = |at: usize| answered.body["events"][at]["data"]["key"].clone();
    assert!(key(0) == key(3) && key(0) != key(2) && key(1).is_null(), "one key a subject: {answered:?}");
    let cloud = json!({ "specversion": "1.0", "id": "A-1", "source": "/x", "type": "private.note", "subject": "q",
                        "ip": format!("ip-{SECRET}"), "data": { "who": SUBJECT, "text": SECRET } });
    let batch = publisher.call(Method::POST, "/v1/events", "acme");
    let batch = batch.header("content-type", "application/cloudevents-batch+json").body(json!([cloud]).to_string());
    let batch = answer(batch).await;
    assert_eq!((batch.status, &batch.body["results"][0]["event"]["data"]["key"]), (201, &key(0)), "{batch:?}");
    let all = whole_database(&postgres).await;
    assert!(!all.contains(SECRET) && all.matches(SUBJECT).count() == 1);
    assert_eq!(rows(&postgres).await, 2);
}

#[tokio::test]
async fn what_is_refused_makes_no_key() {
    let (postgres, publisher) = start().await;
    let note = async |data: Value| publisher.publish("p", &json!({ "type": "private.note", "data": data })).await;
    note(json!({ "text": SECRET })).await.is_field_problem("schema_violation", "/data/who", "required");
    note(json!({ "who": 7 })).await.is_field_problem("schema_violation", "/data/who", "type");
    assert_eq!(note(json!({ "who": SUBJECT, "text": "x".repeat(262_144) })).await.status, 413);
    let nobodys = publisher.publish("p", &json!({ "type": "secret.kept" })).await;
    nobodys.is_field_problem("invalid_field", "/type", "content");
    assert_eq!((rows(&postgres).await, publisher.trail("p").await.len()), (0, 0));
    // An envelope is longer than what it hides, and has no cap of its own.
    let around = json!({ "who": SUBJECT, "text": "" }).to_string().len();
    let longest = note(json!({ "who": SUBJECT, "text": "x".repeat(262_144 - around) })).await;
    assert_eq!(longest.status, 201, "{:?}", longest.status);
}

#[tokio::test]
async fn two_publishers_that_make_a_key_at_once_make_one() {
    let (postgres, publisher) = start().await;
    let ledger = Ledger::open(&LedgerConfig::new(postgres.url())).await.unwrap();
    let other = Publisher::on(ledger, |_| {}).await;
    let publish = async |publisher: &Publisher, n: usize| {
        let answered = publisher.publish(&format!("p-{n}"), &about_ada()).await;
        assert_eq!(answered.status, 201, "{answered:?}");
        answered.body["data"]["key"].clone()
    };
    let keys = join_all((0..4).map(|n| publish(if n % 2 == 0 { &publisher } else { &other }, n))).await;
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(rows(&postgres).await, 1);
}

/// Whatever an erasure meets: every acknowledged event is readable, or an erasure names its key; and the last one, which no
/// erasure came after, is readable.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_never_races_an_append() {
    let (postgres, publisher) = start().await;
    let publish = async |n: usize| {
        let answered = publisher.publish(&format!("p-{}", n % 4), &about_ada()).await;
        assert_eq!(answered.status, 201, "{answered:?}");
    };
    let publishing = async {
        for round in 0..12 {
            join_all((0..4).map(|n| publish(4 * round + n))).await;
        }
    };
    let erasing = async {
        for _ in 0..8 {
            erase(&publisher.ledger).await;
        }
    };
    tokio::join!(publishing, erasing);
    publish(0).await;
    let mut last = Value::Null;
    for n in [1, 2, 3, 0] {
        let page = publisher.get(&format!("/v1/plans/p-{n}/events?limit=100"), "opener").await.body;
        for event in page["events"].as_array().unwrap() {
            assert!(is_open(event) || is_erased(event), "neither readable nor erased: {event}");
            last = event.clone();
        }
    }
    assert!(is_open(&last), "{last}");
    erase(&publisher.ledger).await;
    assert!(!whole_database(&postgres).await.contains(SUBJECT));
}

#[tokio::test]
async fn a_restored_key_opens_nothing_and_goes_at_the_next_start() {
    let (postgres, publisher) = start().await;
    let id = publisher.publish("p", &about_ada()).await.body["id"].as_str().unwrap().to_owned();
    postgres.admin("CREATE TABLE public.backup AS SELECT * FROM sealbus.data_keys").await;
    erase(&publisher.ledger).await;
    postgres.admin("INSERT INTO sealbus.data_keys SELECT * FROM public.backup; DROP TABLE public.backup").await;
    assert_eq!(rows(&postgres).await, 1);
    let shown = publisher.get(&format!("/v1/events/{id}"), "opener").await.body;
    assert!(is_erased(&shown), "an event says that it is erased: {shown}");
    let later = Publisher::on(publisher.ledger.clone(), |_| {}).await;
    assert!(is_erased(&later.get(&format!("/v1/events/{id}"), "opener").await.body));
    assert_eq!(rows(&postgres).await, 0, "the start has done it again");
}

#[tokio::test]
async fn a_lost_key_and_a_changed_envelope_are_told_apart() {
    let (postgres, publisher) = start().await;
    let stored = publisher.publish("p", &about_ada()).await.body;
    let path = format!("/v1/events/{}", stored["id"].as_str().unwrap());
    let seen_after = async |sql: String| {
        postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
        let closed = publisher.get(&path, "reader").await.body;
        assert!(closed.get("unopened").is_none(), "a reader without the right is not told: {closed}");
        let shown = publisher.get(&path, "opener").await.body;
        (shown["unopened"].clone(), shown["data"].clone())
    };
    let with = |member: &str, value: &str| {
        let mut changed = stored["data"].clone();
        changed[member] = json!(value);
        changed
    };
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (payload, verdict) in [
        (with("commitment", other), json!("COMMITMENT")),
        (with("ciphertext", other), json!("AAD")),
        (with("scheme", "other"), json!("FORMAT")),
    ] {
        let set = format!("UPDATE sealbus.events SET payload = '{payload}' WHERE payload_mode = 2");
        assert_eq!(seen_after(set).await, (verdict, payload));
    }
    let restored = format!("UPDATE sealbus.events SET payload = '{}' WHERE payload_mode = 2", stored["data"]);
    assert_eq!(seen_after(restored).await, (Value::Null, about_ada()["data"].clone()));
    let gone = "DELETE FROM sealbus.data_keys".to_owned();
    assert_eq!(seen_after(gone).await, (json!("KEY_LOST"), stored["data"].clone()));
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_taken_up_by_the_next() {
    let (postgres, publisher) = start().await;
    let first = publisher.publish("p", &about_ada()).await.body;
    // Cut off behind the closing: what is published now is under a new key.
    postgres.admin("UPDATE sealbus.data_keys SET closed = true").await;
    let second = publisher.publish("p", &about_ada()).await;
    assert_eq!(second.status, 201, "{second:?}");
    assert_ne!(second.body["data"]["key"], first["data"]["key"]);
    let events = publisher.get("/v1/plans/p/events", "opener").await.body["events"].clone();
    assert!(is_open(&events[0]) && is_open(&events[1]), "no event says that it is erased: {events}");
    assert_eq!(erase(&publisher.ledger).await.keys.len(), 2);
    assert_eq!(rows(&postgres).await, 0);
}

#[tokio::test]
async fn an_erasure_names_nobody() {
    let (_postgres, publisher) = start().await;
    publisher.publish("p", &about_ada()).await;
    let refused = erase_because(&publisher.ledger, "Ada Lovelace asked for it").await.unwrap_err();
    assert!(matches!(refused, EraseError::NamesSubject) && !refused.to_string().contains("Ada"), "{refused}");
    assert!(matches!(erase_because(&publisher.ledger, "").await, Err(EraseError::Reason)));
    assert_eq!(publisher.trail("_erasures").await.len(), 0);
    publisher.publish("p", &json!({ "type": "subject.erased" })).await.is_problem("forbidden");
}

#[tokio::test]
async fn a_publisher_that_cannot_make_keys_does_not_start() {
    let ledger = ledger_in(&Postgres::start().await).await;
    let mut publisher = Publisher::without_kek(ledger).await;
    let refused = (&mut publisher.served).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("kek-") && refused.contains("private.note"), "{refused}");
}
