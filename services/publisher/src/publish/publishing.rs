//! What all ways of publishing share: from requests to a call of the ledger, and from its answer to ours.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::{Record, View};
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{Context, Draft, EventRequest, Prepared};
use sealbus_ledger::append::{AppendError, Appended, Call, Expect};
use uuid::Uuid;

use crate::app::App;
use crate::auth::caller::{Caller, single};
use crate::auth::tokens::Scope;
use crate::clock;
use crate::http::problem::Problem;

/// Longest idempotency key.
const MAX_KEY: usize = 200;

/// What the headers of a publish call say of all of its events.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// `If-Match`, `If-None-Match`.
    pub expect: Expect,
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// `traceparent`, where it is one.
    pub traceparent: Option<String>,
}

impl Conditions {
    /// Reads them.
    ///
    /// # Errors
    /// `invalid_field` with the header's name.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let key = single(headers, "idempotency-key")?;
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            let detail = format!("is 1 to {MAX_KEY} characters");
            return Err(Refused::field(ErrorKind::InvalidField, "Idempotency-Key", "length", detail));
        }
        let traceparent = single(headers, "traceparent")?.filter(|text| is_traceparent(text));
        Ok(Self { expect: expect(headers)?, key, traceparent })
    }
}

/// An event of a call with what came with it.
#[derive(Debug)]
pub struct Publication {
    /// Its place in the caller's array, where it came in one.
    pub at: Option<usize>,
    /// The event.
    pub request: EventRequest,
    /// Its own trace context, where it has one.
    pub traceparent: Option<String>,
    /// Its idempotency key.
    pub key: Option<String>,
}

impl Publication {
    /// A refusal of the event with its place in the caller's array.
    fn place(&self, refused: Refused) -> Refused {
        match self.at {
            Some(at) => refused.within(&format!("/{at}")),
            None => refused,
        }
    }
}

/// An event that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The event, as it is stored.
    pub stored: Arc<Record>,
    /// As its publisher is shown it.
    pub view: View,
    /// Whether this call stored it, rather than an earlier one with the same id and content.
    pub new: bool,
}

impl App {
    /// Publishes events of one plan, all or none.
    pub async fn publish(
        &self,
        caller: &Caller,
        tenant: Tenant,
        plan: Plan,
        expect: Expect,
        publications: &[Publication],
    ) -> Result<Vec<Published>, Problem> {
        let mut events = Vec::with_capacity(publications.len());
        for publication in publications {
            let context = Context {
                tenant: &tenant,
                plan: &plan,
                credential: &caller.token.name,
                any_actor: caller.token.may(Scope::ActorAny),
                idempotency_key: publication.key.clone(),
                traceparent: publication.traceparent.clone(),
                fresh_id: clock::fresh_id(),
            };
            let prepared = publication.request.prepare(&context, &self.catalog, &self.limits);
            events.push(prepared.map_err(|refused| publication.place(refused))?);
        }
        let ids: Vec<Uuid> = events.iter().map(Prepared::event_id).collect();
        self.metrics.call(events.len());
        let appended =
            self.append(tenant, plan, expect, events).await.map_err(|problem| problem.with_ids(ids.clone()))?;
        let appended = appended.map_err(|error| refusal(&error, ids.clone(), publications))?;
        for event in appended.iter().filter(|event| event.new) {
            let rule = self.catalog.resolve(&event.record.header.event_type, event.record.header.data_version);
            self.metrics.published(rule.map_or("none", |rule| rule.channel.name.as_str()));
        }
        self.hub.appended(&appended);
        let (records, new): (Vec<_>, Vec<_>) =
            appended.into_iter().map(|Appended { record, new }| (record, new)).unzip();
        let views = self
            .views(&caller.token, records.iter().cloned())
            .await
            .map_err(|error| Problem::from(error).with_ids(ids))?;
        let published = records.into_iter().zip(views).zip(new);
        Ok(published.map(|((stored, view), new)| Published { stored, view, new }).collect())
    }

    /// Appends accepted events, encrypted where they are to be; anew where an erasure took a key meanwhile.
    async fn append(
        &self,
        tenant: Tenant,
        plan: Plan,
        expect: Expect,
        prepared: Vec<Prepared>,
    ) -> Result<Result<Vec<Appended>, AppendError>, Problem> {
        let prepared = match all_ready(prepared) {
            Ok(events) => return Ok(self.appender.append(Call { tenant, plan, expect, events }).await),
            Err(prepared) => prepared,
        };
        let mut again = false;
        loop {
            let events = self.drafts(&tenant, &prepared, again).await?;
            let call = Call { tenant: tenant.clone(), plan: plan.clone(), expect, events };
            match self.appender.append(call).await {
                // Each time round an erasure of the very subject came between, which is an operator's command.
                Err(AppendError::KeyGone { .. }) => again = true,
                answer => return Ok(answer),
            }
        }
    }
}

/// The drafts, where none is to be encrypted.
fn all_ready(prepared: Vec<Prepared>) -> Result<Vec<Draft>, Vec<Prepared>> {
    if prepared.iter().any(|event| matches!(event, Prepared::ToEncrypt(_))) {
        return Err(prepared);
    }
    let ready = |event| match event {
        Prepared::Ready(draft) => Some(draft),
        Prepared::ToEncrypt(_) => None,
    };
    Ok(prepared.into_iter().filter_map(ready).collect())
}

/// What the ledger refused, in the caller's words.
fn refusal(error: &AppendError, ids: Vec<Uuid>, publications: &[Publication]) -> Problem {
    let detail = error.to_string();
    // The last of equal ids: the first one is no mistake.
    let with_id = |id: Uuid| ids.iter().rposition(|known| *known == id).and_then(|at| publications.get(at));
    let field = |id, kind, detail: String| {
        let refused = Refused::field(kind, "/id", "unique", detail);
        with_id(id).map_or(refused.clone(), |publication| publication.place(refused)).into()
    };
    match *error {
        AppendError::DuplicateId { event_id } => field(event_id, ErrorKind::DuplicateId, detail),
        AppendError::IdConflict { event_id } => {
            let by_key = with_id(event_id)
                .is_some_and(|publication| publication.request.id_comes_from_key(publication.key.as_deref()));
            if by_key {
                let detail = "the key was used before, with another request";
                return Refused::field(ErrorKind::IdempotencyKeyReused, "Idempotency-Key", "unique", detail).into();
            }
            field(event_id, ErrorKind::IdConflict, detail)
        }
        AppendError::HeadMismatch { head } => Problem::new(ErrorKind::HeadMismatch, detail).with_head(head),
        AppendError::Overloaded => Problem::new(ErrorKind::Overloaded, detail).with_ids(ids),
        AppendError::Unavailable { .. } | AppendError::KeyGone { .. } => {
            tracing::warn!(error = detail, events = ids.len(), "an append has no known outcome");
            let told = "the ledger is unavailable, and the outcome is unknown: ask again with the same ids";
            Problem::new(ErrorKind::LedgerUnavailable, told).with_ids(ids)
        }
        AppendError::Key(_) => {
            tracing::error!(error = detail, events = ids.len(), "nothing can be appended");
            let told =
                "this publisher's key may not sign, and nothing was stored: ask another publisher, or again later";
            Problem::new(ErrorKind::LedgerUnavailable, told).with_ids(ids)
        }
        AppendError::Length(_) => Problem::new(ErrorKind::TooLarge, detail),
        AppendError::Invalid { .. } => Problem::new(ErrorKind::InvalidField, detail),
        AppendError::SuiteFalls { .. } => {
            tracing::error!(error = detail, "an append was refused");
            Problem::new(ErrorKind::Internal, "the plan cannot be signed; the log says why")
        }
    }
}

/// `If-Match: "6"`: the head is 6 (0: empty). `If-None-Match: *`: empty.
fn expect(headers: &HeaderMap) -> Result<Expect, Refused> {
    let refuse = |name, detail: &str| Err(Refused::field(ErrorKind::InvalidField, name, "format", detail));
    let head = match (single(headers, header::IF_MATCH.as_str())?, single(headers, header::IF_NONE_MATCH.as_str())?) {
        (None, None) => return Ok(Expect::Any),
        (None, Some(any)) if any == "*" => return Ok(Expect::Empty),
        (None, Some(_)) => return refuse("If-None-Match", "is *: the plan is to be empty"),
        (Some(_), Some(_)) => return refuse("If-Match", "does not stand beside If-None-Match"),
        (Some(head), None) => head,
    };
    let seq = head.strip_prefix('"').and_then(|head| head.strip_suffix('"'));
    match seq.filter(|seq| seq.bytes().all(|byte| byte.is_ascii_digit())).and_then(|seq| seq.parse().ok()) {
        Some(0) => Ok(Expect::Empty),
        Some(seq) => Ok(Expect::Head(seq)),
        None => refuse("If-Match", "is the seq of the plan's head in quotes, such as \"6\""),
    }
}

/// W3C Trace Context, version 00. Another is left out, as the standard says, rather than refused.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts[..], ["00", trace, parent, flags] if hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && !zero(trace) && !zero(parent))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn conditions_say_what_the_head_is_to_be() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            Conditions::read(&headers(pairs)).map(|conditions| conditions.expect)
        };
        assert_eq!(read(&[]), Ok(Expect::Any));
        assert_eq!(read(&[("if-match", "\"6\"")]), Ok(Expect::Head(6)));
        assert_eq!(read(&[("if-match", "\"0\"")]), Ok(Expect::Empty));
        assert_eq!(read(&[("if-none-match", "*")]), Ok(Expect::Empty));
        for faulty in ["6", "W/\"6\"", "\"six\"", "\"-1\"", "\"\"", "*", "\"6\", \"7\"", "\"99999999999999999999\""] {
            let refused = read(&[("if-match", faulty)]).expect_err(faulty);
            assert_eq!(
                (refused.kind, refused.errors[0].pointer.as_str()),
                (ErrorKind::InvalidField, "If-Match"),
                "{faulty}"
            );
        }
        assert!(read(&[("if-none-match", "\"6\"")]).is_err());
        assert!(read(&[("if-match", "\"6\""), ("if-none-match", "*")]).is_err());
    }

    #[test]
    fn trace_contexts_that_are_none_are_left_out() {
        let read = |value: &'static str| Conditions::read(&headers(&[("traceparent", value)])).unwrap().traceparent;
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(read(good).as_deref(), Some(good));
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for bad in ["", "x", "00-0af7-b7ad-01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", zero] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
