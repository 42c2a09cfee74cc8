//! `GET /v1/events`: all events in log order, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use sealbus_core::cloudevents::BATCH;
use sealbus_core::event::Record;
use sealbus_ledger::trail::LogQuery;
use serde_json::{Value, json};

use crate::answers::{Form, json, typed, with_header};
use crate::app::App;
use crate::caller::Caller;
use crate::links;
use crate::pages;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenants = caller.log()?;
    let from_index = parameters.number("from_index")?.unwrap_or_default();
    let limit = parameters.limit()?;
    parameters.end()?;
    let (mut records, mut from, mut bytes, mut more): (Vec<Record>, _, _, _) = (Vec::new(), from_index, 0, true);
    while more && records.len() < limit as usize && bytes < pages::BYTES {
        let wanted = (limit - u32::try_from(records.len()).unwrap_or(limit)).min(pages::CHUNK);
        let chunk = app.ledger.log_page(&LogQuery { tenants: tenants.clone(), from_index: from, limit: wanted }).await?;
        more = chunk.len() == wanted as usize;
        from = chunk.last().and_then(|last| last.log_index).map_or(from, |index| index + 1);
        bytes += pages::weight(&chunk);
        records.extend(chunk);
    }
    let next = more.then(|| from.to_string());
    let form = Form::accepted(&headers);
    let events: Vec<Value> = records.iter().map(|record| form.one(record)).collect();
    let answer = match form {
        Form::Own => json(StatusCode::OK, &json!({ "events": events, "next": next })),
        Form::CloudEvents => typed(StatusCode::OK, BATCH, &Value::Array(events)),
    };
    Ok(match next {
        Some(index) => with_header(answer, header::LINK, &links::next(&uri, "from_index", &index)),
        None => answer,
    })
}
