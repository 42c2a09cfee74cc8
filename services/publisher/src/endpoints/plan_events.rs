//! `GET /v1/plans/{plan}/events`: a page of a plan's events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use sealbus_core::cloudevents::BATCH;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::trail::PageQuery;
use sealbus_ledger::{Ledger, LedgerError};
use serde_json::{Value, json};

use crate::answers::{Form, json, typed, with_header};
use crate::app::App;
use crate::caller::Caller;
use crate::cursor::List;
use crate::links;
use crate::pages;
use crate::parameters::Parameters;
use crate::path::PlanPath;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    uri: Uri,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    let (after, from_seq) = (parameters.text("after")?, parameters.number("from_seq")?);
    let (limit, descending, types) = (parameters.limit()?, parameters.descending()?, parameters.types()?);
    parameters.end()?;
    let list = List { tenant: &tenant, plan: &plan, types: &types, descending };
    let after_seq = match (after, from_seq) {
        (Some(cursor), _) => list.read(&cursor)?,
        (None, Some(seq)) if descending => seq.saturating_add(1),
        (None, Some(seq)) => seq.saturating_sub(1),
        (None, None) => 0,
    };
    let page = page(&app.ledger, &tenant, &plan, PageQuery { after_seq, limit, types: types.clone(), descending }).await?;
    let next = page.records.last().filter(|_| page.more).map(|last| list.cursor(last.header.seq));
    let form = Form::accepted(&headers);
    let events: Vec<Value> = page.records.iter().map(|record| form.one(record)).collect();
    let answer = match form {
        Form::Own => json(StatusCode::OK, &json!({ "events": events, "total": page.total, "next": next })),
        Form::CloudEvents => typed(StatusCode::OK, BATCH, &Value::Array(events)),
    };
    Ok(match next {
        Some(cursor) => with_header(answer, header::LINK, &links::next(&uri, "after", &cursor)),
        None => answer,
    })
}

struct Page {
    records: Vec<Record>,
    total: u64,
    more: bool,
}

/// Reads a page chunk by chunk, so that it ends early where the events are large.
async fn page(ledger: &Ledger, tenant: &Tenant, plan: &Plan, query: PageQuery) -> Result<Page, LedgerError> {
    let mut page = Page { records: Vec::new(), total: 0, more: true };
    let mut after_seq = query.after_seq;
    let mut left = query.limit;
    let mut bytes = 0;
    while page.more && left > 0 && bytes < pages::BYTES {
        let chunk = PageQuery { after_seq, limit: left.min(pages::CHUNK), ..query.clone() };
        let read = ledger.plan_page(tenant, plan, &chunk).await?;
        (page.total, page.more) = (read.total, read.more);
        left -= u32::try_from(read.records.len()).unwrap_or(left).min(left);
        bytes += pages::weight(&read.records);
        after_seq = read.records.last().map_or(after_seq, |last| last.header.seq);
        page.records.extend(read.records);
    }
    Ok(page)
}
