//! The part that all publish endpoints share: preparing events, appending them to the ledger, and translating its answer.

use std::sync::Arc;

use sealbus_core::catalog::Catalog;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::error_chain;
use sealbus_core::event::{Record, View};
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{Context, Draft, Limits, Prepared};
use sealbus_ledger::Ledger;
use sealbus_ledger::append::{AppendError, Appended, Appender, Call, Expect};
use sealbus_runtime::memory::Budget;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::{Caller, Scope};
use crate::http::Problem;
use crate::metrics::Metrics;
use crate::publish::keys::{check_keys, key_reused};
use crate::publish::publication::{Named, Publication};
use crate::publish::{Encryption, Receipt};
use crate::read::{Hub, Reading, Source};

/// A published event. Its JSON form is what the publishing client sees of it.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    /// The stored record.
    #[serde(skip)]
    pub stored: Arc<Record>,
    /// The record as the publishing client may see it.
    #[serde(flatten)]
    pub view: View,
    /// Whether this request stored it. `false` if an event with the same id and content was stored before.
    #[serde(skip)]
    pub new: bool,
    /// The receipt, if the request waited until the event was sealed, or until its timeout.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

/// The memory that a queued event takes in addition to its payload, metadata and request, in bytes, rounded up.
const DRAFT_OVERHEAD_BYTES: usize = 1_024;

/// Publishes events.
pub(crate) struct Publishing {
    /// The memory for calls that wait for a batch or are in one.
    pub memory: Budget,
    /// Finds the requests for which an idempotency key was used.
    pub ledger: Ledger,
    /// Appends events to the ledger.
    pub appender: Appender,
    /// Encrypts the events whose type demands it.
    pub encryption: Encryption,
    /// Decides what the client sees of the stored events.
    pub reading: Reading,
    /// Passes new events to the live streams of this replica.
    pub hub: Arc<Hub>,
    /// The event types.
    pub catalog: Arc<Catalog>,
    /// The limits of a request.
    pub limits: Limits,
    /// The counters.
    pub metrics: Metrics,
}

impl Publishing {
    /// Publishes events of one plan, all or none. Returns one published event for each publication, in order.
    ///
    /// # Errors
    /// The codes of an invalid event; `duplicate_id`, `id_conflict`, `idempotency_key_reused`, `head_mismatch`, `too_large`;
    /// `overloaded` and `ledger_unavailable` with the ids of the events.
    pub(crate) async fn publish(
        &self,
        caller: &Caller,
        tenant: Tenant,
        plan: Plan,
        expect: Expect,
        mut publications: Vec<Publication>,
    ) -> Result<Vec<Published>, Problem> {
        check_keys(&self.ledger, &tenant, &mut publications).await?;
        let named: Vec<Named> = publications.iter().map(Named::of).collect();
        let mut events = Vec::with_capacity(publications.len());
        for (publication, named) in publications.into_iter().zip(&named) {
            let context = Context {
                tenant: &tenant,
                plan: &plan,
                credential: &caller.token.name,
                any_actor: caller.token.has_scope(Scope::ActorAny),
                idempotency_key: publication.key,
                traceparent: publication.traceparent,
                fresh_id: Uuid::now_v7(),
            };
            let prepared = publication.request.prepare(&context, &self.catalog, &self.limits);
            events.push(prepared.map_err(|refused| named.locate(refused))?);
        }
        let ids: Vec<Uuid> = events.iter().map(Prepared::event_id).collect();
        self.metrics.call(events.len());
        let source = Source::Plan(tenant.clone(), plan.clone());
        let history = self.ledger.server_history().changes();
        let appended = self.append(tenant, plan, expect, events).await;
        let appended = appended
            .map_err(|problem| problem.with_ids(ids.clone()))?
            .map_err(|error| append_problem(&error, ids.clone(), &named))?;
        for event in appended.iter().filter(|event| event.new) {
            let rule = self.catalog.resolve(&event.record.header.event_type, event.record.header.data_version);
            self.metrics.published(rule.map_or("none", |rule| rule.channel.name.as_str()));
        }
        self.hub.appended(&source, &appended, history);
        let records = appended.iter().map(|event| Arc::clone(&event.record));
        let views = self.reading.views(&caller.token, records).await;
        let views = views.map_err(|error| Problem::from(error).with_ids(ids))?;
        let published = |(Appended { record, new }, view)| Published { stored: record, view, new, receipt: None };
        Ok(appended.into_iter().zip(views).map(published).collect())
    }

    /// Encrypts and appends prepared events, again if an erasure has closed a key in between. The outer error says that the
    /// events could not be encrypted or queued, and nothing was appended.
    async fn append(
        &self,
        tenant: Tenant,
        plan: Plan,
        expect: Expect,
        prepared: Vec<Prepared>,
    ) -> Result<Result<Vec<Appended>, AppendError>, Problem> {
        let prepared = match all_ready(prepared) {
            Ok(events) => return self.queue(Call { tenant, plan, expect, events }).await,
            Err(prepared) => prepared,
        };
        let mut key_gone = false;
        loop {
            let events = self.encryption.drafts(&tenant, &prepared, key_gone).await?;
            let call = Call { tenant: tenant.clone(), plan: plan.clone(), expect, events };
            match self.queue(call).await? {
                // Each iteration takes one erasure of this very subject, which is an operator's command.
                Err(AppendError::DataKeyErased(_)) => key_gone = true,
                result => return Ok(result),
            }
        }
    }

    /// Appends a call, unless there is no memory for it in the queue. The memory is given back once the call has left the queue
    /// and its batch, even if its client has gone before.
    async fn queue(&self, call: Call) -> Result<Result<Vec<Appended>, AppendError>, Problem> {
        let texts =
            |draft: &Draft| draft.payload.as_ref().map_or(0, String::len) + draft.metadata.len() + draft.request.len();
        let bytes: usize = call.events.iter().map(|draft| DRAFT_OVERHEAD_BYTES + texts(draft)).sum();
        // Canonical numbers can be longer than those of the request. The largest requests count as much as one tenant may queue.
        let reserved = self.memory.try_reserve(call.tenant.as_str(), bytes.min(self.memory.largest()));
        let memory = reserved.map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "too many events are waiting to be appended; retry later")
        })?;
        Ok(self.appender.append_holding(call, memory).await)
    }
}

/// Returns the drafts if no event has to be encrypted, otherwise the events as they were.
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

/// Translates a failed append of the events with these ids.
fn append_problem(error: &AppendError, ids: Vec<Uuid>, named: &[Named]) -> Problem {
    let detail = error.to_string();
    // The last of several equal ids, because the first one is not the mistake.
    let with_id = |id: Uuid| ids.iter().rposition(|known| *known == id).and_then(|index| named.get(index));
    let field = |id, kind, detail: String| {
        let refused = Refused::field(kind, "/id", "unique", detail);
        with_id(id).map_or(refused.clone(), |named| named.locate(refused)).into()
    };
    match *error {
        AppendError::DuplicateId(event_id) => field(event_id, ErrorKind::DuplicateId, detail),
        AppendError::IdConflict(event_id) => {
            if with_id(event_id).is_some_and(|named| named.by_key) {
                return key_reused().into();
            }
            field(event_id, ErrorKind::IdConflict, detail)
        }
        AppendError::HeadMismatch(head) => {
            let mut problem = Problem::new(ErrorKind::HeadMismatch, detail);
            problem.head = Some(head);
            problem
        }
        AppendError::Unavailable(_)
        | AppendError::Stopped
        | AppendError::DataKeyErased(_)
        | AppendError::NoV1Key(_)
        | AppendError::V1(_) => {
            tracing::warn!(error = %error_chain(error), events = ids.len(), "the outcome of an append is unknown");
            let detail = "the ledger is unavailable and the outcome is unknown; retry with the same ids";
            Problem::new(ErrorKind::LedgerUnavailable, detail).with_ids(ids)
        }
        AppendError::OtherHistory(_) => {
            tracing::error!(error = %error_chain(error), events = ids.len(), "appends are refused after a failover");
            let detail = "the database was replaced by one that may lack acknowledged events; nothing is stored until an \
                          operator has confirmed its history; retry later with the same ids";
            Problem::new(ErrorKind::LedgerFailover, detail).with_ids(ids)
        }
        AppendError::Key(_) => {
            tracing::error!(error = %error_chain(error), events = ids.len(), "the signing key is not allowed to sign");
            let detail = "this publisher's signing key is not allowed to sign, and nothing was stored; retry on another \
                          publisher, or later";
            Problem::new(ErrorKind::LedgerUnavailable, detail).with_ids(ids)
        }
        AppendError::EventCount(_) => Problem::new(ErrorKind::TooLarge, detail),
        AppendError::Invalid(_) => Problem::new(ErrorKind::InvalidField, detail),
        AppendError::SuiteDowngrade(_) => {
            tracing::error!(error = %error_chain(error), events = ids.len(), "the plan cannot be signed");
            Problem::new(ErrorKind::Internal, "the plan cannot be signed; see the publisher's log")
        }
    }
}
