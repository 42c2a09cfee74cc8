//! The plans of a tenant: their names, the head of a plan, and its verification.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use sealbus_core::error::ErrorKind;
use sealbus_core::verify::{Finding, Verdict};
use sealbus_ledger::verification;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{JSON, Parameters, PlanPath, Problem, held_json, next_link};

/// The memory that a page of plan names takes while it is made: 1,000 names of up to 200 bytes, as rows, tree and text.
const PLANS_BYTES: usize = 1024 * 1024;

/// `GET /v1/plans` returns 200 with a page of plan names that begin with `prefix`, in byte order, after the name in `after`.
/// `next` and the `Link` header name the next page.
///
/// It needs the scope `read`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let (prefix, after) = (parameters.plan_name("prefix")?, parameters.plan_name("after")?);
    let limit = parameters.limit()?;
    parameters.finish()?;
    let memory = app.answers.reserve(&caller.token.name, PLANS_BYTES).await?;
    let mut plans = app.ledger.history().plans(&tenant, &prefix, &after, limit + 1).await?;
    let more = plans.len() > limit as usize;
    plans.truncate(limit as usize);
    let next = plans.last().filter(|_| more);
    let link = next.map(|name| {
        // Only these two characters of a plan's name have another meaning in a query.
        let name = name.replace('+', "%2B").replace('=', "%3D");
        [(header::LINK, next_link(&uri, "after", &name))]
    });
    Ok((link, held_json(JSON, &json!({ "plans": plans, "next": next }), memory)))
}

/// `GET /v1/plans/{plan}/head` returns 200 with seq and hash of the plan's last event, and the seq as `ETag`. With
/// `below_index` it is the last sealed event whose log index is lower.
///
/// It needs the scope `read`. Errors: `not_found` if the plan has no such event.
pub(super) async fn head(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let below_index = parameters.number("below_index")?;
    parameters.finish()?;
    let head = app.ledger.history().head(&tenant, &plan, below_index).await?;
    let head = head.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the plan has no such event"))?;
    let etag = [(header::ETAG, format!("\"{}\"", head.seq))];
    Ok((etag, Json(json!({ "seq": head.seq, "hash": head.hash }))))
}

/// What only `sealbus verify` checks: the Merkle tree, the notes outside the database, receipts, and whether encrypted payloads
/// can be opened.
const NOT_CHECKED: [&str; 4] = ["tree", "anchors", "receipts", "encrypted"];

/// `GET /v1/plans/{plan}/verification` returns 200 with the verdict `ok`, or the verdict and place of the first finding, and
/// the first 1,000 findings. The result is only as trustworthy as this service: `sealbus verify` checks a ledger or a bundle
/// independently.
///
/// It needs the scope `verify`. Errors: `not_found` if the plan does not exist, `overloaded` if too many verifications are in
/// flight.
pub(super) async fn verification(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Verify)?;
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let Ok(_permit) = app.verifications.try_acquire() else {
        return Err(Problem::new(ErrorKind::Overloaded, "too many plans are being verified"));
    };
    let scope = verification::Scope::Plan(tenant, plan.clone());
    let verified = app.ledger.verification().verify_chains(&scope, &app.keyring).await?;
    if verified.plans == 0 {
        return Err(Problem::new(ErrorKind::NotFound, "the plan does not exist"));
    }
    // The plan of signing keys is verified too. Its findings are for the operator, not for clients.
    let mut findings: Vec<Finding> =
        verified.findings.into_iter().filter(|finding| finding.plan == plan.as_str()).collect();
    findings.sort_by_key(|finding| finding.seq);
    let mut body = json!({
        "plan": plan.as_str(), "verdict": "ok", "events": verified.events, "sealed": verified.sealed,
        "unchecked": verified.unchecked, "not_checked": NOT_CHECKED,
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(), "omitted": verified.omitted,
    });
    // An erased payload is reported, but is not a fault.
    if let Some(first) = findings.iter().find(|finding| finding.verdict != Verdict::Erased) {
        body["verdict"] = json!(first.verdict.as_str());
        body["seq"] = json!(first.seq);
        body["index"] = json!(first.seq.saturating_sub(1));
    }
    Ok(Json(body))
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "seq": finding.seq, "index": finding.seq.saturating_sub(1),
        "verdict": finding.verdict.as_str(), "detail": finding.detail,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_testkit::Postgres;
    use serde_json::{Value, json};

    use crate::tests::support::{Publisher, create_ledger, send};

    #[tokio::test]
    async fn plans_are_listed_by_prefix_and_page() {
        let publisher = Publisher::start().await;
        for plan in ["a-1", "a+=2", "b-1", "a-3"] {
            assert_eq!(publisher.publish(&plan.replace('+', "%2B"), &json!({ "type": "any.a" })).await.status, 201);
        }
        let all = publisher.get("/v1/plans", "acme").await;
        assert_eq!(all.body, json!({ "plans": ["a+=2", "a-1", "a-3", "b-1"], "next": null }));
        let first = publisher.get("/v1/plans?prefix=a&limit=1", "acme").await;
        assert_eq!(first.body, json!({ "plans": ["a+=2"], "next": "a+=2" }));
        let link = first.header("link").strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        assert_eq!(publisher.get(link, "acme").await.body, json!({ "plans": ["a-1"], "next": "a-1" }));
        assert_eq!(
            publisher.get("/v1/plans?prefix=a&after=a-1", "acme").await.body,
            json!({ "plans": ["a-3"], "next": null })
        );
        assert_eq!(publisher.get("/v1/plans", "other").await.body, json!({ "plans": [], "next": null }));
    }

    /// What cannot be the beginning of a plan's name is refused, not compared by the database, which does not take U+0000.
    #[tokio::test]
    async fn text_that_no_plan_has_is_refused() {
        let publisher = Publisher::start().await;
        for text in ["%00", "a%00", "%FF", "%C3%28", "a%0A", "a%2Fb", "%20", "a+b", "%E2%82%AC", ".a", &"x".repeat(201)]
        {
            for name in ["prefix", "after"] {
                let response = publisher.get(&format!("/v1/plans?{name}={text}"), "acme").await;
                assert_eq!(response.status, 400, "{name}={text}: {response:?}");
            }
            // In a path, + is itself.
            if text != "a+b" {
                publisher.get(&format!("/v1/plans/{text}/events"), "acme").await.assert_problem("invalid_name");
            }
        }
        for path in [
            "/v1/plans/p/events?type=%00",
            "/v1/plans/p/events?after=%00",
            "/v1/plans/p/events?%00=1",
            "/v1/events?from_index=%FF",
        ] {
            let response = publisher.get(path, "acme").await;
            assert_eq!(response.status, 400, "{path}: {response:?}");
        }
    }

    /// Numbers around the limits of the types that hold them, in every parameter and header that takes one.
    #[tokio::test]
    async fn a_number_that_does_not_fit_is_refused_wherever_it_is() {
        let publisher = Publisher::start().await;
        assert_eq!(publisher.publish("p", &json!({ "type": "any.a" })).await.status, 201);
        let edges = [1_u128 << 32, 1 << 53, 1 << 63, 1 << 64, 1 << 127];
        let numbers = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]).map(|number| number.to_string());
        let others = ["-1", "%2B1", "1.0", "1e3", "0x1", "", "%201", "1%20", "\u{661}"].map(str::to_owned);
        for text in numbers.chain(others) {
            let fits = text.parse().is_ok_and(|number: u64| number < 1 << 53);
            for path in [
                "/v1/plans/p/events?from_seq=",
                "/v1/plans/p/events?order=desc&from_seq=",
                "/v1/plans/p/events?limit=",
                "/v1/plans?limit=",
                "/v1/plans/p/head?below_index=",
                "/v1/events?from_index=",
                "/v1/events?limit=",
            ] {
                let response = publisher.get(&format!("{path}{text}"), "acme").await;
                let expected = if fits { [200, 404] } else { [400, 400] };
                assert!(expected.contains(&response.status), "{path}{text}: {response:?}");
            }
            if !fits {
                for path in ["/v1/plans/p/events/stream?after=", "/v1/events/stream?after="] {
                    let response = publisher.get(&format!("{path}{text}"), "acme").await;
                    response.assert_field_problem("invalid_field", "after", "type");
                }
            }
            let expect = publisher.request_as(Method::POST, "/v1/plans/p/events", "acme");
            let expect = expect.header("if-match", format!("\"{}\"", text.replace("%20", " ").replace("%2B", "+")));
            let response = send(expect.json(&json!({ "type": "any.a" }))).await;
            assert_eq!(response.status, if fits { 412 } else { 400 }, "If-Match {text}: {response:?}");
        }
    }

    #[tokio::test]
    async fn the_head_is_the_last_event_or_the_last_sealed_one_below_an_index() {
        let publisher = Publisher::start().await;
        publisher.get("/v1/plans/p/head", "acme").await.assert_problem("not_found");
        let events = vec![json!({ "type": "any.a" }); 3];
        let stored = publisher.publish("p", &json!(events)).await;
        let hash = |index: usize| stored.body["events"][index]["seal"]["hash"].clone();
        let head = publisher.get("/v1/plans/p/head", "acme").await;
        assert_eq!(
            (head.body, head.headers["etag"].to_str().unwrap()),
            (json!({ "seq": 3, "hash": hash(2) }), "\"3\"")
        );
        publisher.get("/v1/plans/p/head?below_index=3", "acme").await.assert_problem("not_found");
        publisher.seal().await;
        // Leaf 0 is the signing key's, leaves 1 to 3 are the plan's.
        assert_eq!(
            publisher.get("/v1/plans/p/head?below_index=3", "acme").await.body,
            json!({ "seq": 2, "hash": hash(1) })
        );
        publisher.get("/v1/plans/p/head?below_index=1", "acme").await.assert_problem("not_found");
        publisher.get("/v1/plans/p/head?below_index=x", "acme").await.assert_field_problem(
            "invalid_field",
            "below_index",
            "type",
        );
    }

    #[tokio::test]
    async fn an_intact_plan_is_ok_and_a_changed_one_has_findings() {
        let postgres = Postgres::start().await;
        let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
        let events = vec![json!({ "type": "any.a", "data": { "amount": "1" } }); 7];
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        publisher.seal().await;

        // The plan is intact.
        let verified = publisher.get("/v1/plans/p/verification", "acme").await;
        let not_checked = ["tree", "anchors", "receipts", "encrypted"];
        assert_eq!(
            verified.body,
            json!({ "plan": "p", "verdict": "ok", "events": 7, "sealed": 7, "unchecked": 0, "not_checked": not_checked,
                    "findings": [], "omitted": 0 })
        );

        // Change one event and delete another, bypassing the triggers.
        postgres
            .admin("SET session_replication_role = replica; UPDATE sealbus.events SET payload = '{\"amount\":\"9\"}' WHERE tenant = 'acme' AND seq = 3; DELETE FROM sealbus.events WHERE tenant = 'acme' AND seq = 5")
            .await;
        let verified = publisher.get("/v1/plans/p/verification", "acme").await.body;
        assert_eq!(
            (&verified["verdict"], &verified["seq"], &verified["index"]),
            (&json!("PAYLOAD_HASH"), &json!(3), &json!(2)),
            "{verified}"
        );
        let found: Vec<_> = verified["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (finding["seq"].clone(), finding["verdict"].clone()))
            .collect();
        assert_eq!(found, [(json!(3), json!("PAYLOAD_HASH")), (json!(5), json!("SEQ_GAP"))]);
    }

    #[tokio::test]
    async fn the_findings_of_an_answer_are_bounded_and_the_others_counted() {
        let postgres = Postgres::start().await;
        let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
        let events = vec![json!({ "type": "any.a" }); 600];
        for _ in 0..2 {
            assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        }
        postgres
            .admin(
                "SET session_replication_role = replica; UPDATE sealbus.events SET payload = '1' WHERE tenant = 'acme'",
            )
            .await;
        let verified = publisher.get("/v1/plans/p/verification", "acme").await.body;
        assert_eq!((&verified["verdict"], &verified["seq"]), (&json!("PAYLOAD_HASH"), &json!(1)));
        assert_eq!((verified["findings"].as_array().unwrap().len(), &verified["omitted"]), (1_000, &json!(200)));
    }

    #[tokio::test]
    async fn the_end_of_a_plan_is_compared_with_its_leaves_and_the_seal_queue() {
        let postgres = Postgres::start().await;
        let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
        let publish = async |count| publisher.publish("p", &json!(vec![json!({ "type": "any.a" }); count])).await;
        let tamper = async |sql| postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
        let verified = async || {
            let body = publisher.get("/v1/plans/p/verification", "acme").await.body;
            let finding = |finding: &Value| format!("{} {}", finding["verdict"].as_str().unwrap(), finding["seq"]);
            let found: Vec<_> = body["findings"].as_array().unwrap().iter().map(finding).collect();
            (body["verdict"].as_str().unwrap().to_owned(), found.join(", "))
        };
        let found = |verdict: &str, findings: &str| (verdict.to_owned(), findings.to_owned());
        publish(4).await;
        publisher.seal().await;
        publish(1).await;
        assert_eq!(verified().await, found("ok", ""));
        // Delete the event without a leaf, then the last ones with leaves, and change a leaf.
        tamper("DELETE FROM sealbus.events WHERE tenant = 'acme' AND seq = 5").await;
        assert_eq!(verified().await, found("MISSING", "MISSING 5"));
        tamper("DELETE FROM sealbus.events WHERE tenant = 'acme' AND seq > 2; DELETE FROM sealbus.seal_queue").await;
        assert_eq!(verified().await, found("MISSING_LEAF", "MISSING_LEAF 3, MISSING_LEAF 4"));
        tamper("UPDATE sealbus.log_leaves SET leaf_hash = sha256('x') WHERE leaf_index = 2").await;
        assert_eq!(verified().await, found("LEAF_MISMATCH", "LEAF_MISMATCH 2, MISSING_LEAF 3, MISSING_LEAF 4"));
    }

    #[tokio::test]
    async fn a_plan_that_does_not_exist_is_not_found() {
        let publisher = Publisher::start().await;
        publisher.get("/v1/plans/nobody/verification", "acme").await.assert_problem("not_found");
    }
}
