//! Receipts, by what the service answers.

mod script;

use std::time::Duration;

use sealbus_client::{Expect, NewEvent};
use serde_json::{Value, json};

use crate::script::{Service, event, refused, stored};

const RECEIPT: &str = r#"{"tenant":"acme","plan":"order-42","payload":"1.0","proof":"c2sp.org/tlog-proof@v1\n"}"#;

fn answered(sealed: bool) -> Value {
    let mut event = event("order-42", 7);
    event["sealed"] = json!(sealed);
    event["receipt"] = serde_json::from_str(RECEIPT).expect("JSON");
    event
}

#[tokio::test]
async fn a_call_that_waits_says_so_and_gives_the_receipt() {
    let service = Service::start([stored(201, &answered(true)), stored(200, &answered(false))]).await;
    let (client, event) = (service.client(), NewEvent::new("payment.settled", json!({ "amount": "10.00" })));
    let within = Some(Duration::from_millis(1_500));
    let sealed = client.publish_sealed("order-42", &event, Expect::Head(6), within).await.expect("published");
    assert_eq!((sealed.new, sealed.sealed, sealed.event.seq), (true, true, 7));
    let receipt: Value = serde_json::from_str(sealed.receipt.as_str()).expect("JSON");
    assert_eq!(receipt, answered(true)["receipt"]);
    let again = client.publish_sealed("order-42", &event, Expect::Any, None).await.expect("published");
    assert_eq!((again.new, again.sealed), (false, false));
    let [first, second] = &service.asked()[..] else { panic!("two requests") };
    assert_eq!(first.line, "POST /v1/plans/order-42/events?wait=sealed&timeout=1500ms");
    assert_eq!(first.header("if-match"), Some("\"6\""));
    assert_eq!(second.line, "POST /v1/plans/order-42/events?wait=sealed");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_receipt_is_asked_for_later_and_comes_as_it_stands() {
    let service =
        Service::start([stored(200, &answered(true)["receipt"]), refused(404, "not_found", &Value::Null)]).await;
    let client = service.client();
    let id = "0197f2a0-0000-7000-8000-000000000007".parse().expect("a UUID");
    let receipt = client.receipt(id).await.expect("answered").expect("it is there");
    assert_eq!(receipt.to_string(), answered(true)["receipt"].to_string());
    assert_eq!(client.receipt(id).await.expect("answered"), None);
    assert_eq!(service.asked()[0].line, "GET /v1/events/0197f2a0-0000-7000-8000-000000000007/receipt");
}
