//! Idempotency keys: one key is for one request.

use axum::http::Method;
use sealbus_core::catalog::Catalog;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{Context, EventKey, EventRequest, Limits, Prepared};
use sealbus_ledger::append::{Appender, Call, Expect, MAX_EVENTS};
use sealbus_testkit::Postgres;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::tests::support::{Publisher, TestResponse, create_ledger, keyring, send};

const KEY: &str = "key-1";

fn event(data: &str) -> Value {
    json!({ "type": "any.a", "data": data })
}

async fn publish(publisher: &Publisher, plan: &str, body: Value) -> TestResponse {
    send(publisher.publish_request(plan).header("idempotency-key", KEY).json(&body)).await
}

/// Returns an array of events.
fn array(data: &[&str]) -> Value {
    data.iter().copied().map(event).collect()
}

/// Publishes each request after the first one with the same key, and asserts that it is refused and that nothing more is stored.
async fn assert_only_first(first: Value, others: Vec<Value>) {
    let publisher = Publisher::start().await;
    let stored = publish(&publisher, "p", first.clone()).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let events = publisher.events_of("p").await;
    for other in others {
        let refused = publish(&publisher, "p", other.clone()).await;
        refused.assert_field_problem("idempotency_key_reused", "Idempotency-Key", "unique");
        publish(&publisher, "q", other).await.assert_problem("idempotency_key_reused");
    }
    let again = publish(&publisher, "p", first).await;
    assert_eq!((again.status, &again.body), (200, &stored.body));
    assert_eq!(publisher.events_of("p").await, events);
    assert!(publisher.events_of("q").await.is_empty());
}

#[tokio::test]
async fn a_key_of_an_array_is_for_this_array_alone() {
    let mut with_an_id = array(&["a", "b"]);
    with_an_id[1]["id"] = json!("an id");
    let others = vec![
        array(&["a", "b", "c"]),
        array(&["a"]),
        event("a"),
        array(&["b", "a"]),
        array(&["a", "c"]),
        array(&["c"]),
        with_an_id,
    ];
    assert_only_first(array(&["a", "b"]), others).await;
}

#[tokio::test]
async fn a_key_of_an_array_of_one_is_for_this_array_alone() {
    assert_only_first(array(&["a"]), vec![event("a"), array(&["a", "b"]), array(&["b"])]).await;
}

#[tokio::test]
async fn a_key_of_one_event_is_for_this_event_alone() {
    assert_only_first(event("a"), vec![event("b"), array(&["a"]), array(&["a", "b"])]).await;
}

#[tokio::test]
async fn an_array_of_events_with_and_without_ids_is_one_request() {
    let mut first = array(&["a", "b"]);
    first[1]["id"] = json!("an id");
    let mut longer = first.clone();
    longer.as_array_mut().unwrap().push(event("c"));
    assert_only_first(first, vec![array(&["a"]), longer]).await;
}

fn cloudevent(plan: &str, data: i32) -> Value {
    json!({ "specversion": "1.0", "type": "any.a", "subject": plan, "data": data })
}

async fn publish_batch(publisher: &Publisher, events: Value) -> TestResponse {
    let request = publisher.request_as(Method::POST, "/v1/events", "acme").header("idempotency-key", KEY);
    let request = request.header("content-type", "application/cloudevents-batch+json");
    send(request.body(events.to_string())).await
}

#[tokio::test]
async fn a_batch_of_cloudevents_is_one_request() {
    let publisher = Publisher::start().await;
    let (one, two) = (cloudevent("p", 1), cloudevent("q", 2));
    assert_eq!(publish_batch(&publisher, json!([one, two])).await.status, 201);
    assert_eq!(publish_batch(&publisher, json!([one, two])).await.status, 200);
    for other in [json!([one]), json!([one, two, cloudevent("q", 3)])] {
        let refused = publish_batch(&publisher, other).await;
        assert_eq!(refused.status, 207, "{refused:?}");
        for result in refused.body["results"].as_array().unwrap() {
            assert_eq!(result["problem"]["code"], "idempotency_key_reused", "{refused:?}");
        }
    }
    assert_eq!((publisher.events_of("p").await.len(), publisher.events_of("q").await.len()), (1, 1));
}

#[tokio::test]
async fn a_batch_of_which_a_plan_was_refused_can_be_mended() {
    let publisher = Publisher::start().await;
    let (one, two) = (cloudevent("p", 1), cloudevent("q", 2));
    let mut faulty = two.clone();
    faulty["time"] = json!("noon");
    assert_eq!(publish_batch(&publisher, json!([one, faulty])).await.status, 207);
    assert_eq!(publish_batch(&publisher, json!([one, two])).await.status, 201);
    assert_eq!((publisher.events_of("p").await.len(), publisher.events_of("q").await.len()), (1, 1));
}

#[tokio::test]
async fn concurrent_requests_with_one_key_store_one_of_them() {
    let publisher = Publisher::start().await;
    let requests = [array(&["a", "b"]), array(&["a", "b", "c"]), array(&["a"])];
    let answers = futures::future::join_all((0..12).map(|n| publish(&publisher, "p", requests[n % 3].clone()))).await;
    let stored: Vec<usize> = (0..12).filter(|n| answers[*n].status == 201).collect();
    assert_eq!(stored.len(), 1, "{answers:?}");
    for (n, answer) in answers.iter().enumerate() {
        let same = n % 3 == stored[0] % 3;
        assert!(answer.status < 300 && same || answer.status == 422 && !same, "{answer:?}");
    }
    assert_eq!(publisher.events_of("p").await.len(), requests[stored[0] % 3].as_array().unwrap().len());
}

/// Events that were stored before the number of events was stored with them have it neither in their metadata nor in the request
/// that is compared.
#[tokio::test]
async fn a_request_that_an_older_version_stored_is_recognised() {
    let ledger = create_ledger(&Postgres::start().await).await;
    let appender = Appender::start(&ledger, &keyring(), &sealbus_testkit::ledger::append_settings(), None).unwrap();
    let own = "module: own\npatterns: { any.*: { schema: any } }";
    let catalog = Catalog::read(&[("own.yaml".into(), own.into())]).unwrap();
    let limits = Limits { body_bytes: 1 << 20, events: MAX_EVENTS, event_bytes: 1 << 18, members: 16_384 };
    let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse("p").unwrap());
    let draft = |index: usize, data: &str| {
        let context = Context {
            tenant: &tenant,
            plan: &plan,
            credential: "acme",
            any_actor: false,
            idempotency_key: Some(EventKey::of_array(KEY, index, 2).without_events()),
            traceparent: None,
            fresh_id: Uuid::now_v7(),
        };
        let request = EventRequest::from_json(&(&event(data)).into()).unwrap();
        let Prepared::Ready(draft) = request.prepare(&context, &catalog, &limits).unwrap() else { panic!("encrypted") };
        draft
    };
    let events = vec![draft(0, "a"), draft(1, "b")];
    appender.append(Call { tenant: tenant.clone(), plan: plan.clone(), expect: Expect::Any, events }).await.unwrap();

    let publisher = Publisher::on(ledger, |_| {}).await;
    let stored = publisher.events_of("p").await;
    assert_eq!(stored[0]["metadata"]["sealbus"], json!({ "auth": "token", "idempotency_key": "key-1/0" }));
    let again = publish(&publisher, "p", array(&["a", "b"])).await;
    assert_eq!((again.status, &again.body["events"]), (200, &json!(stored)));
    for other in [array(&["a", "b", "c"]), array(&["a"]), event("a"), array(&["a", "c"])] {
        publish(&publisher, "p", other).await.assert_problem("idempotency_key_reused");
    }
    assert_eq!(publisher.events_of("p").await.len(), 2);
}
