//! Waiting for receipts and reading them, with a scripted service.

mod script;

use std::time::Duration;

use sealbus_client::{Expect, NewEvent};
use serde_json::{Value, json};

use crate::script::{Service, event, refusal, response};

const RECEIPT: &str = r#"{"tenant":"acme","plan":"order-42","payload":"1.0","proof":"c2sp.org/tlog-proof@v1\n"}"#;

/// Returns the body of a response to a publish with `wait=sealed`.
fn body(sealed: bool) -> Value {
    let mut event = event("order-42", 7);
    event["sealed"] = json!(sealed);
    event["receipt"] = serde_json::from_str(RECEIPT).expect("JSON");
    event
}

#[tokio::test]
async fn publish_sealed_sends_the_wait_and_returns_the_receipt() {
    let service = Service::start([response(201, &body(true)), response(200, &body(false))]).await;
    let (client, event) = (service.client(), NewEvent::new("payment.settled", json!({ "amount": "10.00" })));
    let timeout = Some(Duration::from_millis(1_500));
    let sealed = client.publish_sealed("order-42", &event, Expect::Head(6), timeout).await.expect("published");
    assert_eq!((sealed.new, sealed.sealed, sealed.event.seq), (true, true, 7));
    let receipt: Value = serde_json::from_str(sealed.receipt.as_str()).expect("JSON");
    assert_eq!(receipt, body(true)["receipt"]);
    let again = client.publish_sealed("order-42", &event, Expect::Any, None).await.expect("published");
    assert_eq!((again.new, again.sealed), (false, false));
    let [first, second] = &service.requests()[..] else { panic!("two requests") };
    assert_eq!(first.line, "POST /v1/plans/order-42/events?wait=sealed&timeout=1500ms");
    assert_eq!(first.header("if-match"), Some("\"6\""));
    assert_eq!(second.line, "POST /v1/plans/order-42/events?wait=sealed");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_receipt_is_returned_byte_for_byte() {
    let service =
        Service::start([response(200, &body(true)["receipt"]), refusal(404, "not_found", &Value::Null)]).await;
    let client = service.client();
    let id = "0197f2a0-0000-7000-8000-000000000007".parse().expect("a UUID");
    let receipt = client.receipt(id).await.expect("answered").expect("the event has a receipt");
    assert_eq!(receipt, body(true)["receipt"].to_string());
    assert_eq!(client.receipt(id).await.expect("answered"), None);
    assert_eq!(service.requests()[0].line, "GET /v1/events/0197f2a0-0000-7000-8000-000000000007/receipt");
}
