//! Encrypted events from publishing to erasure, as seen by clients with and without the scope `payload.open`.

use axum::http::Method;
use futures::future::join_all;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::Tenant;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::Appender;
use sealbus_ledger::data_keys::{EraseError, Erasure, ErasureRequest};
use sealbus_testkit::Postgres;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::tests::support::{Publisher, create_ledger, keyring, send};

const ID: &str = "0197f2a1-0000-7000-8000-00000000000a";
/// The data subject of most tests.
const SUBJECT: &str = "Ada Lovelace";
/// The text that must not be found in the database.
const SECRET: &str = "the-secret-of-ada";

/// Returns an event that is encrypted under the key of `subject`. Its metadata has a clear and an encrypted member.
fn note(subject: &str, secret: &str) -> Value {
    json!({ "type": "private.note", "data": { "who": subject, "text": secret },
            "metadata": { "ip": format!("ip-{secret}"), "reason": "clear" } })
}

fn note_about_ada() -> Value {
    note(SUBJECT, SECRET)
}

/// Starts a publisher, and returns its database too.
async fn start() -> (Postgres, Publisher) {
    let postgres = Postgres::start().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    (postgres, publisher)
}

async fn erase_because(ledger: &Ledger, reason: &str) -> Result<Erasure, EraseError> {
    let appender = Appender::start(ledger, &keyring(), &sealbus_testkit::ledger::append_settings(), None).unwrap();
    let order = ErasureRequest {
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

/// Returns all rows of all tables as text, as the superuser sees them.
async fn database_dump(postgres: &Postgres) -> String {
    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.contains(&"sealbus.data_keys".to_owned()) && tables.contains(&"sealbus.events".to_owned()));
    let mut dump = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t");
        dump += &sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
    }
    dump
}

async fn count_data_keys(postgres: &Postgres) -> i64 {
    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM sealbus.data_keys").fetch_one(&mut connection).await.unwrap()
}

/// Asserts that the database does not contain the secret, and contains the subject's name exactly once.
#[track_caller]
fn assert_only_the_name_is_stored(dump: &str) {
    assert!(!dump.contains(SECRET), "the secret is stored in plaintext");
    assert_eq!(dump.matches(SUBJECT).count(), 1, "the subject's name is stored outside of the row of its key");
}

fn is_envelope(event: &Value) -> bool {
    event["data"]["scheme"] == "sealbus/envelope/v2" && event.get("unopened").is_none()
}

fn is_opened(event: &Value) -> bool {
    event["data"] == note_about_ada()["data"] && event.get("unopened").is_none()
}

fn is_erased(event: &Value) -> bool {
    event["data"].is_null() && event["unopened"] == "ERASED"
}

/// Reads the first event of plan `p` through every endpoint that returns events.
async fn read_everywhere(publisher: &Publisher, id: &str, token: &str) -> Vec<Value> {
    let as_cloudevent = async |path: &str| {
        let accept = "application/cloudevents+json, application/cloudevents-batch+json";
        send(publisher.request_as(Method::GET, path, token).header("accept", accept)).await.body
    };
    let log = publisher.get("/v1/events", token).await.body["events"].clone();
    let in_log = log.as_array().unwrap().iter().find(|event| event["plan"] == "p").unwrap().clone();
    let mut stream = publisher.stream("/v1/plans/p/events/stream", token, Some(0)).await;
    let binary = publisher.get(&format!("/v1/events/{id}/data"), token).await;
    let mut from_binary = json!({ "data": binary.body });
    if !binary.header("ce-unopened").is_empty() {
        from_binary["unopened"] = json!(binary.header("ce-unopened"));
    }
    vec![
        publisher.get(&format!("/v1/events/{id}"), token).await.body,
        publisher.get("/v1/plans/p/events", token).await.body["events"][0].clone(),
        in_log,
        stream.next().await.unwrap().1,
        as_cloudevent(&format!("/v1/events/{id}")).await,
        as_cloudevent("/v1/plans/p/events").await[0].clone(),
        from_binary,
    ]
}

#[tokio::test]
async fn a_payload_is_readable_with_the_scope_and_an_envelope_without_it_until_it_is_erased() {
    let (postgres, publisher) = start().await;

    // Publish. The publishing token may not open the payload, and the database holds no plaintext.
    let stored = publisher.publish("p", &note_about_ada()).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    assert!(is_envelope(&stored.body), "a token without payload.open got the plaintext: {stored:?}");
    publisher.seal().await;
    let id = stored.body["id"].as_str().unwrap();
    assert_only_the_name_is_stored(&database_dump(&postgres).await);

    // Read it with and without the scope.
    for event in read_everywhere(&publisher, id, "opener").await {
        assert!(is_opened(&event), "the payload is not open: {event}");
    }
    for event in read_everywhere(&publisher, id, "reader").await {
        assert!(is_envelope(&event), "the payload is not an envelope: {event}");
    }
    let path = format!("/v1/events/{id}");
    let (opened, closed) = (publisher.get(&path, "opener").await.body, publisher.get(&path, "reader").await.body);
    assert_eq!(
        (&opened["metadata"]["ip"], &opened["metadata"]["reason"]),
        (&json!(format!("ip-{SECRET}")), &json!("clear"))
    );
    assert!(closed["metadata"].get("ip").is_none() && closed["metadata"]["reason"] == "clear");

    // Erase the subject. Nobody can read the payload any more, and the seal is unchanged.
    let erased = erase(&publisher.ledger).await;
    assert_eq!((erased.keys.len(), erased.redone), (1, 0));
    publisher.seal().await;
    for token in ["opener", "reader"] {
        for event in read_everywhere(&publisher, id, token).await {
            assert!(is_erased(&event), "{token} does not see the event as erased: {event}");
        }
    }
    assert_eq!(publisher.get(&path, "opener").await.body["seal"], opened["seal"], "the erasure changed the seal");

    // The erasure is an event, the database has forgotten the subject, and the plan still verifies.
    let erasures = publisher.events_of("_erasures").await;
    assert_eq!(erasures.len(), 1);
    assert_eq!(erasures[0]["data"], json!({ "keys": erased.keys, "reason": "ticket 17" }));
    assert_eq!((&erasures[0]["type"], &erasures[0]["actor"]), (&json!("subject.erased"), &json!("officer")));
    let dump = database_dump(&postgres).await;
    assert!(!dump.contains(SUBJECT) && !dump.contains(SECRET), "the erased subject is still in the database");
    assert_eq!(publisher.get("/v1/plans/p/verification", "acme").await.body["verdict"], "ok");
}

#[tokio::test]
async fn a_repeated_event_is_recognised_until_its_key_is_erased() {
    let (postgres, publisher) = start().await;
    let with_id = |mut event: Value| {
        event["id"] = json!(ID);
        event
    };
    let first = publisher.publish("p", &with_id(note_about_ada())).await;
    assert_eq!(first.status, 201, "{first:?}");

    // A repeated event gets the stored one as its response. Other content, another subject and another plan are conflicts.
    let repeated = publisher.publish("p", &with_id(note_about_ada())).await;
    assert_eq!((repeated.status, &repeated.body["seal"]), (200, &first.body["seal"]));
    publisher.publish("p", &with_id(note(SUBJECT, "other"))).await.assert_problem("id_conflict");
    publisher.publish("p", &with_id(note("Grace", SECRET))).await.assert_problem("id_conflict");
    publisher.publish("q", &with_id(note_about_ada())).await.assert_problem("id_conflict");

    // After the erasure the same event is a conflict too, since its content can no longer be compared.
    erase(&publisher.ledger).await;
    publisher.publish("p", &with_id(note_about_ada())).await.assert_problem("id_conflict");
    assert!(!database_dump(&postgres).await.contains(SUBJECT), "a repeated event stored the erased name again");
    assert_eq!(publisher.events_of("p").await.len(), 1);
}

#[tokio::test]
async fn a_subject_gets_a_new_key_after_an_erasure() {
    let (_postgres, publisher) = start().await;
    publisher.publish("p", &note_about_ada()).await;
    let erased = erase(&publisher.ledger).await;
    let second = publisher.publish("p", &note_about_ada()).await;
    assert_eq!(second.status, 201, "{second:?}");
    assert_ne!(second.body["data"]["key"], json!(erased.keys[0]));
    let events = publisher.get("/v1/plans/p/events", "opener").await.body["events"].clone();
    assert!(is_erased(&events[0]) && is_opened(&events[1]), "{events}");
    assert_eq!(json!(erase(&publisher.ledger).await.keys), json!([second.body["data"]["key"]]));
    assert_eq!(erase(&publisher.ledger).await, Erasure::default(), "an erasure found a key that was erased before");
    assert_eq!(publisher.events_of("_erasures").await.len(), 2, "an erasure without keys was recorded as an event");
}

#[tokio::test]
async fn every_publish_endpoint_encrypts() {
    let (postgres, publisher) = start().await;

    // An array: one key for each subject.
    let array = json!([note_about_ada(), { "type": "any.a", "data": 1 }, note("Grace", SECRET), note_about_ada()]);
    let stored = publisher.publish("p", &array).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let key = |index: usize| stored.body["events"][index]["data"]["key"].clone();
    assert!(
        key(0) == key(3) && key(0) != key(2) && key(1).is_null(),
        "the events are not encrypted under one key per subject: {stored:?}"
    );

    // A batch of CloudEvents: the same key for the same subject.
    let cloudevent = json!({ "specversion": "1.0", "id": "A-1", "source": "/x", "type": "private.note", "subject": "q",
                             "ip": format!("ip-{SECRET}"), "data": { "who": SUBJECT, "text": SECRET } });
    let request = publisher
        .request_as(Method::POST, "/v1/events", "acme")
        .header("content-type", "application/cloudevents-batch+json");
    let batch = send(request.body(json!([cloudevent]).to_string())).await;
    assert_eq!((batch.status, &batch.body["results"][0]["event"]["data"]["key"]), (201, &key(0)), "{batch:?}");

    assert_only_the_name_is_stored(&database_dump(&postgres).await);
    assert_eq!(count_data_keys(&postgres).await, 2);
}

#[tokio::test]
async fn a_refused_event_creates_no_key() {
    let (postgres, publisher) = start().await;
    let publish = async |data: Value| publisher.publish("p", &json!({ "type": "private.note", "data": data })).await;
    publish(json!({ "text": SECRET })).await.assert_field_problem("schema_violation", "/data/who", "required");
    publish(json!({ "who": 7 })).await.assert_field_problem("schema_violation", "/data/who", "type");
    assert_eq!(publish(json!({ "who": SUBJECT, "text": "x".repeat(262_144) })).await.status, 413);
    let without_subject = publisher.publish("p", &json!({ "type": "secret.kept" })).await;
    without_subject.assert_field_problem("invalid_field", "/type", "content");
    assert_eq!((count_data_keys(&postgres).await, publisher.events_of("p").await.len()), (0, 0));

    // The cap applies to the plaintext, not to the envelope, which is longer.
    let overhead = json!({ "who": SUBJECT, "text": "" }).to_string().len();
    let longest = publish(json!({ "who": SUBJECT, "text": "x".repeat(262_144 - overhead) })).await;
    assert_eq!(longest.status, 201, "an event of the maximum size was refused");
}

#[tokio::test]
async fn publishers_that_create_a_key_concurrently_agree_on_one() {
    let (postgres, publisher) = start().await;
    let ledger = sealbus_testkit::ledger::open(&postgres.url()).await;
    let other = Publisher::on(ledger, |_| {}).await;
    let publish = async |publisher: &Publisher, n: usize| {
        let stored = publisher.publish(&format!("p-{n}"), &note_about_ada()).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        stored.body["data"]["key"].clone()
    };
    let keys = join_all((0..4).map(|n| publish(if n % 2 == 0 { &publisher } else { &other }, n))).await;
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(count_data_keys(&postgres).await, 1);
}

/// Every acknowledged event is readable, or an erasure names its key. The last event, which no erasure followed, is readable.
#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_erasure_leaves_every_event_readable_or_erased() {
    let (postgres, publisher) = start().await;
    let publish = async |n: usize| {
        let stored = publisher.publish(&format!("p-{}", n % 4), &note_about_ada()).await;
        assert_eq!(stored.status, 201, "{stored:?}");
    };

    // Publish and erase concurrently, then publish once more.
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

    // Read all events. Plan p-0, which has the last one, comes last.
    let mut last = Value::Null;
    for n in [1, 2, 3, 0] {
        let page = publisher.get(&format!("/v1/plans/p-{n}/events?limit=100"), "opener").await.body;
        for event in page["events"].as_array().unwrap() {
            assert!(is_opened(event) || is_erased(event), "an event is neither readable nor erased: {event}");
            last = event.clone();
        }
    }
    assert!(is_opened(&last), "an event that no erasure followed is not readable: {last}");

    // One more erasure removes the subject from the database.
    erase(&publisher.ledger).await;
    assert!(!database_dump(&postgres).await.contains(SUBJECT), "the erased name is still in the database");
}

#[tokio::test]
async fn a_restored_key_opens_nothing_and_is_deleted_at_the_next_start() {
    let (postgres, publisher) = start().await;
    let id = publisher.publish("p", &note_about_ada()).await.body["id"].as_str().unwrap().to_owned();

    // Back up the keys, erase the subject, and restore the keys.
    postgres.admin("CREATE TABLE public.backup AS SELECT * FROM sealbus.data_keys").await;
    erase(&publisher.ledger).await;
    postgres.admin("INSERT INTO sealbus.data_keys SELECT * FROM public.backup; DROP TABLE public.backup").await;
    assert_eq!(count_data_keys(&postgres).await, 1);

    // The running publisher does not use the restored key.
    let event = publisher.get(&format!("/v1/events/{id}"), "opener").await.body;
    assert!(is_erased(&event), "an erased payload was opened with a restored key: {event}");

    // A publisher that starts now deletes it.
    let restarted = Publisher::on(publisher.ledger.clone(), |_| {}).await;
    assert!(is_erased(&restarted.get(&format!("/v1/events/{id}"), "opener").await.body));
    assert_eq!(count_data_keys(&postgres).await, 0, "the start left a restored key in the database");
}

#[tokio::test]
async fn a_lost_key_and_a_changed_envelope_have_different_verdicts() {
    let (postgres, publisher) = start().await;
    let stored = publisher.publish("p", &note_about_ada()).await.body;
    let path = format!("/v1/events/{}", stored["id"].as_str().unwrap());
    let read_after = async |sql: String| {
        postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
        let closed = publisher.get(&path, "reader").await.body;
        assert!(closed.get("unopened").is_none(), "a token without payload.open got the verdict: {closed}");
        let event = publisher.get(&path, "opener").await.body;
        (event["unopened"].clone(), event["data"].clone())
    };
    let with = |member: &str, value: &str| {
        let mut changed = stored["data"].clone();
        changed[member] = json!(value);
        changed
    };

    // Change one member of the envelope after another.
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (payload, verdict) in [
        (with("commitment", other), json!("COMMITMENT")),
        (with("ciphertext", other), json!("AAD")),
        (with("scheme", "other"), json!("FORMAT")),
    ] {
        let update = format!("UPDATE sealbus.events SET payload = '{payload}' WHERE payload_mode = 2");
        assert_eq!(read_after(update).await, (verdict, payload));
    }

    // Restore the envelope, then delete its key.
    let restore = format!("UPDATE sealbus.events SET payload = '{}' WHERE payload_mode = 2", stored["data"]);
    assert_eq!(read_after(restore).await, (Value::Null, note_about_ada()["data"].clone()));
    let delete = "DELETE FROM sealbus.data_keys".to_owned();
    assert_eq!(read_after(delete).await, (json!("KEY_LOST"), stored["data"].clone()));
}

#[tokio::test]
async fn an_interrupted_erasure_is_completed_by_the_next_one() {
    let (postgres, publisher) = start().await;
    let first = publisher.publish("p", &note_about_ada()).await.body;

    // Interrupt an erasure after it closed the key. New events use a new key.
    postgres.admin("UPDATE sealbus.data_keys SET closed = true").await;
    let second = publisher.publish("p", &note_about_ada()).await;
    assert_eq!(second.status, 201, "{second:?}");
    assert_ne!(second.body["data"]["key"], first["data"]["key"]);
    let events = publisher.get("/v1/plans/p/events", "opener").await.body["events"].clone();
    assert!(is_opened(&events[0]) && is_opened(&events[1]), "an event is unreadable before its erasure: {events}");

    // The next erasure takes both keys.
    assert_eq!(erase(&publisher.ledger).await.keys.len(), 2);
    assert_eq!(count_data_keys(&postgres).await, 0);
}

#[tokio::test]
async fn an_erasure_whose_reason_names_the_subject_is_refused() {
    let (_postgres, publisher) = start().await;
    publisher.publish("p", &note_about_ada()).await;
    let refused = erase_because(&publisher.ledger, "Ada Lovelace asked for it").await.unwrap_err();
    assert!(matches!(refused, EraseError::NamesSubject) && !refused.to_string().contains("Ada"), "{refused}");
    assert!(matches!(erase_because(&publisher.ledger, "").await, Err(EraseError::Reason)));
    assert_eq!(publisher.events_of("_erasures").await.len(), 0);
    publisher.publish("p", &json!({ "type": "subject.erased" })).await.assert_problem("forbidden");
}

#[tokio::test]
async fn a_publisher_that_cannot_wrap_data_keys_does_not_start() {
    let ledger = create_ledger(&Postgres::start().await).await;
    let mut publisher = Publisher::without_kek(ledger).await;
    let error = (&mut publisher.task).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("kek-") && error.contains("private.note"), "{error}");
}
