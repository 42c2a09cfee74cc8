//! `GET /v1/events/{id}/proof`: the proof that the log contains an event (c2sp.org/tlog-proof).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::error::ErrorKind;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::http::parameters::Parameters;
use crate::http::path::IdPath;
use crate::http::problem::Problem;

/// `GET /v1/events/{id}/proof` returns 200 with the proof as text.
///
/// Any token of the tenant may read it, because it contains the event's header and otherwise only hashes. Errors:
/// `not_found` if the tenant has no event with this id, or no anchored checkpoint covers it yet.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let record = app.reading.stored(&tenant, id).await?;
    let not_yet =
        || Problem::new(ErrorKind::NotFound, "no anchored checkpoint covers the event yet; retry in a second");
    let (_, proof) = app.receipts.proof(&record).await?.ok_or_else(not_yet)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], proof).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
    use sealbus_core::log::proof::EventProof;
    use serde_json::json;

    use crate::tests::support::{ORIGIN, Publisher, log_key};

    #[tokio::test]
    async fn a_proof_is_accepted_by_a_verifier_that_pins_the_logs_key() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let path = format!("{}/proof", stored.header("location"));
        publisher.get(&path, "acme").await.assert_problem("not_found");
        publisher.publish("q", &json!(vec![json!({ "type": "any.a" }); 20])).await;
        publisher.anchor().await;
        let text = publisher.request_as(Method::GET, &path, "writer").send().await.unwrap().text().await.unwrap();
        let proof = EventProof::parse(text.as_bytes()).unwrap();
        let key = log_key();
        let signed = SignedCheckpoint::open(&proof.note, ORIGIN, std::slice::from_ref(&key)).unwrap();
        let checkpoint: &Checkpoint = signed.checkpoint();
        assert_eq!(checkpoint.size(), 22);
        proof.check(&proof.leaf, checkpoint).unwrap();
        let hash = sealbus_core::event::Leaf::decode(&proof.leaf).unwrap().header.hash();
        assert_eq!(json!(hash), stored.body["seal"]["hash"], "the proof is of another event");
        publisher.get(&path, "other").await.assert_problem("not_found");
    }
}
