//! `GET /v1/plans/{plan}/events`: a plan's events, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use sealbus_ledger::history::PageQuery;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{EventFormat, EventList, EventPage, Parameters, PlanPath, Problem, next_link, page, page_bytes};

/// `GET /v1/plans/{plan}/events` returns 200 with a page of events, filtered by `type` and ordered by seq. It starts at
/// `from_seq`, or after the cursor in `after`. `next` and the `Link` header name the next page. A plan without events is an
/// empty page. Without `type`, `total` is the number of the plan's events.
///
/// It needs the scope `read`. Errors: `invalid_cursor` if the cursor belongs to another list, `not_acceptable` if the client
/// accepts neither form of a page.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    uri: Uri,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let format = EventFormat::of_page(&headers)?;
    let tenant = caller.tenant_to_read()?;
    let (after, from_seq) = (parameters.text("after")?, parameters.number("from_seq")?);
    let (limit, descending, types) = (parameters.limit()?, parameters.descending()?, parameters.types()?);
    parameters.finish()?;
    let list = EventList { tenant: &tenant, plan: &plan, types: &types, descending };
    let after_seq = match (after, from_seq) {
        (Some(cursor), _) => list.seq_of_cursor(&cursor)?,
        (None, Some(seq)) if descending => seq.saturating_add(1),
        (None, Some(seq)) => seq.saturating_sub(1),
        (None, None) => 0,
    };
    let memory = app.answers.reserve(&caller.token.name, page_bytes(limit as usize, format)).await?;
    let query = PageQuery { after_seq, limit, types: types.clone(), descending };
    let read = app.ledger.history().page(&tenant, &plan, &query).await?;
    let next = read.next.map(|seq| list.cursor_after(seq));
    // Counting the events of some types would read the whole plan.
    let total = types.is_empty().then_some(read.head);
    let views = app.reading.views(&caller.token, read.records.into_iter().map(Arc::new)).await?;
    let link = next.as_ref().map(|cursor| [(header::LINK, next_link(&uri, "after", cursor))]);
    let events = EventPage { events: &views, total, next: next.as_deref() };
    Ok((link, page(format, &events, memory)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::support::Publisher;

    /// Starts a publisher with plan `p` of seven events, of alternating types.
    async fn start_with_seven() -> Publisher {
        let publisher = Publisher::start().await;
        let types = ["any.a", "any.b_c"].into_iter().cycle().take(7);
        let events: Vec<_> = types.map(|name| json!({ "type": name })).collect();
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        publisher
    }

    fn seqs(body: &Value) -> Vec<u64> {
        body["events"]
            .as_array()
            .unwrap_or_else(|| panic!("not a page of events: {body}"))
            .iter()
            .map(|event| event["seq"].as_u64().unwrap())
            .collect()
    }

    /// Reads all pages of a list by their cursors, and asserts that the links lead to the same pages.
    async fn pages(publisher: &Publisher, query: &str) -> Vec<Vec<u64>> {
        let (mut by_cursor, mut by_link) = (Vec::new(), Vec::new());
        let mut path = format!("/v1/plans/p/events?{query}");
        loop {
            let page = publisher.get(&path, "acme").await;
            by_cursor.push(seqs(&page.body));
            let Some(next) = page.body["next"].as_str() else { break };
            path = format!("/v1/plans/p/events?{query}&after={next}");
        }
        let mut path = format!("/v1/plans/p/events?{query}");
        loop {
            let page = publisher.get(&path, "acme").await;
            by_link.push(seqs(&page.body));
            let Some(link) = page.header("link").strip_prefix('<') else { break };
            path = link.strip_suffix(">; rel=\"next\"").expect("the link leads to the next page").to_owned();
        }
        assert_eq!(by_cursor, by_link, "links lead to other pages than cursors");
        by_cursor
    }

    #[tokio::test]
    async fn pages_are_linked_in_both_orders() {
        let publisher = start_with_seven().await;
        assert_eq!(pages(&publisher, "limit=3").await, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        assert_eq!(pages(&publisher, "limit=3&order=desc").await, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
        assert_eq!(pages(&publisher, "limit=7").await, [vec![1, 2, 3, 4, 5, 6, 7]]);
        assert_eq!(pages(&publisher, "from_seq=6&limit=1").await, [vec![6], vec![7]]);
        assert_eq!(pages(&publisher, "from_seq=2&order=desc").await, [vec![2, 1]]);
        assert_eq!(pages(&publisher, "from_seq=8").await, [Vec::<u64>::new()]);
    }

    #[tokio::test]
    async fn types_filter_the_events() {
        let publisher = start_with_seven().await;
        for (query, expected) in [
            ("type=any.a", vec![1, 3, 5, 7]),
            ("type=any.*", vec![1, 2, 3, 4, 5, 6, 7]),
            ("type=any.b_c,order.*", vec![2, 4, 6]),
            ("type=any.a&type=any.b_c", vec![1, 2, 3, 4, 5, 6, 7]),
            ("type=any.bxc", vec![]),
            ("type=*", vec![1, 2, 3, 4, 5, 6, 7]),
        ] {
            let page = publisher.get(&format!("/v1/plans/p/events?{query}&limit=2"), "acme").await;
            assert_eq!(page.body.get("total"), None, "{query}: the events of some types were counted");
            assert_eq!(pages(&publisher, &format!("{query}&limit=2")).await.concat(), expected, "{query}");
        }
    }

    #[tokio::test]
    async fn a_plan_without_events_is_an_empty_page() {
        let publisher = Publisher::start().await;
        let page = publisher.get("/v1/plans/nobody/events", "acme").await;
        assert_eq!((page.status, page.body), (200, json!({ "events": [], "total": 0, "next": null })));
    }

    #[tokio::test]
    async fn invalid_parameters_are_refused_by_name() {
        let publisher = start_with_seven().await;
        let refused = async |query: &str| publisher.get(&format!("/v1/plans/p/events?{query}"), "acme").await;
        let cursor = refused("limit=1").await.body["next"].as_str().unwrap().to_owned();
        refused("after=3").await.assert_problem("invalid_cursor");
        refused(&format!("after={cursor}&order=desc")).await.assert_problem("invalid_cursor");
        refused(&format!("after={cursor}&type=any.a")).await.assert_problem("invalid_cursor");
        publisher.get(&format!("/v1/plans/q/events?after={cursor}"), "acme").await.assert_problem("invalid_cursor");
        for (query, pointer, rule) in [
            ("limit=0", "limit", "minimum"),
            ("limit=x", "limit", "type"),
            ("from_seq=-1", "from_seq", "type"),
            ("order=up", "order", "enum"),
            ("limt=3", "limt", "unknown"),
            ("limit=1&limit=2", "limit", "unique"),
            (&format!("type={}", ["any.a"; 65].join(",")), "type", "maxItems"),
            (&["type=any.a"; 65].join("&"), "type", "maxItems"),
        ] {
            refused(query).await.assert_field_problem("invalid_field", pointer, rule);
        }
        refused("type=a..b").await.assert_field_problem("invalid_name", "type", "name");
        refused(&format!("type={}", "a".repeat(129))).await.assert_field_problem("invalid_name", "type", "name");
        assert_eq!(refused(&format!("type={}", ["any.a"; 64].join(","))).await.status, 200);
        assert_eq!(refused("limit=100000").await.status, 200, "a limit above the maximum was refused");
    }

    #[tokio::test]
    async fn a_page_of_large_events_ends_before_its_limit() {
        let publisher = Publisher::start().await;
        for _ in 0..22 {
            let events = vec![json!({ "type": "any.a", "data": "x".repeat(250_000) }); 10];
            assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        }
        let page = publisher.get("/v1/plans/p/events?limit=1000", "acme").await;
        assert_eq!((seqs(&page.body).len(), page.body["next"].is_string()), (5, true));
        assert_eq!(pages(&publisher, "limit=1000").await.concat(), (1..=220).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_page_of_some_types_examines_a_bounded_number_of_events() {
        let publisher = Publisher::start().await;
        let mut events = vec![json!({ "type": "any.a" }); 1_000];
        events[..200].fill(json!({ "type": "any.rare" }));
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        for _ in 0..9 {
            publisher.publish("p", &json!(vec![json!({ "type": "any.a" }); 1_000])).await;
        }
        publisher.publish("p", &json!({ "type": "any.rare" })).await;
        // The events of a page do not raise the number that it examines.
        let seqs = pages(&publisher, "type=any.rare&limit=1000").await;
        assert_eq!(seqs, [(1..=200).collect::<Vec<_>>(), vec![10_001]]);
    }

    #[tokio::test]
    async fn a_page_is_returned_as_a_cloudevents_batch_if_accepted() {
        let publisher = start_with_seven().await;
        let request = publisher.request_as(axum::http::Method::GET, "/v1/plans/p/events?limit=2", "acme");
        let page = crate::tests::support::send(request.header("accept", "application/cloudevents-batch+json")).await;
        assert_eq!(page.header("content-type"), "application/cloudevents-batch+json");
        let sequences: Vec<_> = page.body.as_array().unwrap().iter().map(|event| event["sequence"].clone()).collect();
        assert_eq!(sequences, ["1", "2"]);
        assert!(page.header("link").contains("rel=\"next\""));
    }
}
