//! All events of a scope, as a stream: the records of an exported bundle.

use futures::{Stream, TryStreamExt, stream};
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};

use super::record::{RecordRow, select_records};
use super::{History, Scope};
use crate::LedgerError;

/// Plans whose names are read at a time.
const PLAN_PAGE: i64 = 1_000;

/// An event for an export.
#[derive(Debug, Clone)]
pub struct ExportedEvent {
    /// The tenant of the plan.
    pub tenant: String,
    /// The name of the plan.
    pub plan: String,
    /// The stored seq. `None` if it is null or negative, so that the event has no place in a bundle.
    pub seq: Option<u64>,
    /// The stored event hash. `None` if it is not 32 bytes long.
    pub event_hash: Option<Hash>,
    /// The log index. `None` if the event has no leaf, or an invalid index.
    pub log_index: Option<u64>,
    /// The record, or what is wrong with the row.
    pub record: Result<Box<Record>, String>,
}

/// A plan to export.
#[derive(Clone)]
struct PlanName {
    plan_no: i64,
    tenant: String,
    plan: String,
}

impl History<'_> {
    /// Returns a stream of the events in scope and those of plan `_keys`, ordered by tenant, plan (both in byte order) and seq,
    /// as a bundle has them. A row that Sealbus did not write does not end the stream: it is an event without a record.
    pub fn exported(self, scope: &Scope) -> impl Stream<Item = Result<ExportedEvent, LedgerError>> {
        self.plans_by_name(scope)
            .map_ok(move |name| {
                let records = select_records!("records_of_plan", "WHERE e.plan_no = $1 ORDER BY e.seq", name.plan_no);
                let rows = records.fetch(self.ledger.reads()).map_err(LedgerError::from);
                rows.map_ok(move |row| name.clone().event(row, &self.ledger.deployment().origin))
            })
            .try_flatten()
    }

    /// Returns a stream of the plans in scope and of plan `_keys`, ordered by tenant and plan. Plans without a name are left out.
    fn plans_by_name(self, scope: &Scope) -> impl Stream<Item = Result<PlanName, LedgerError>> {
        let (tenant, plan) = scope.names();
        let (tenant, plan) = (tenant.map(str::to_owned), plan.map(str::to_owned));
        let pages = stream::try_unfold((String::new(), String::new()), move |(after_tenant, after_plan)| {
            let (tenant, plan) = (tenant.clone(), plan.clone());
            async move {
                let (system, keys) = (Tenant::system(), Plan::keys());
                let plans = sqlx::query_as!(
                    PlanName,
                    r#"-- plans_by_name
                    SELECT plan_no, tenant AS "tenant!", plan AS "plan!" FROM sealbus.plans
                    WHERE ((($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2)) OR (tenant = $3 AND plan = $4))
                        AND tenant IS NOT NULL AND plan IS NOT NULL AND (tenant, plan) > ($5, $6)
                    ORDER BY tenant, plan LIMIT $7"#,
                    tenant,
                    plan,
                    system.as_str(),
                    keys.as_str(),
                    after_tenant,
                    after_plan,
                    PLAN_PAGE,
                );
                let plans = plans.fetch_all(self.ledger.reads()).await?;
                let Some(last) = plans.last() else { return Ok(None) };
                let next = (last.tenant.clone(), last.plan.clone());
                Ok::<_, LedgerError>(Some((stream::iter(plans.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten()
    }
}

impl PlanName {
    fn event(self, row: RecordRow, origin: &str) -> ExportedEvent {
        let log_index = row.valid_index();
        let seq = row.seq.and_then(|seq| u64::try_from(seq).ok());
        let event_hash = row.event_hash.as_deref().and_then(Hash::from_slice);
        // A bundle is ordered by tenant, so that a record of another tenant would make the bundle unreadable.
        let record = if row.tenant.as_ref() == Some(&self.tenant) {
            let record = RecordRow { log_index: None, ..row }.into_record(origin);
            record.map(|record| Box::new(Record { log_index, ..record })).map_err(|error| error.to_string())
        } else {
            Err("tenant is not that of the plan".to_owned())
        };
        ExportedEvent { tenant: self.tenant, plan: self.plan, seq, event_hash, log_index, record }
    }
}
