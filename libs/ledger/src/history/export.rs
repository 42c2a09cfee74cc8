//! All records of a scope, as a stream: the events of an exported bundle.

use futures::{Stream, TryStreamExt, stream};
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};

use super::record::select_records;
use super::{History, Scope};
use crate::LedgerError;

/// Plans whose names are read at a time.
const PLAN_PAGE: i64 = 1_000;

impl History<'_> {
    /// Returns a stream of the records in scope and those of plan `_keys`, ordered by tenant, plan (both in byte order) and seq,
    /// as a bundle has them.
    ///
    /// # Errors
    /// The stream ends with [`LedgerError::Unreadable`] at a row that Sealbus did not write.
    pub fn records(self, scope: &Scope) -> impl Stream<Item = Result<Record, LedgerError>> {
        self.plans_by_name(scope)
            .map_ok(move |plan_no| {
                let records = select_records!("records_of_plan", "WHERE e.plan_no = $1 ORDER BY e.seq", plan_no);
                records.fetch(self.ledger.reads()).map_err(LedgerError::from)
            })
            .try_flatten()
            .and_then(async move |row| row.into_record(&self.ledger.deployment().origin))
    }

    /// Returns a stream of the numbers of the plans in scope and of plan `_keys`, ordered by tenant and plan.
    fn plans_by_name(self, scope: &Scope) -> impl Stream<Item = Result<i64, LedgerError>> {
        let (tenant, plan) = scope.names();
        let (tenant, plan) = (tenant.map(str::to_owned), plan.map(str::to_owned));
        let pages = stream::try_unfold((String::new(), String::new()), move |(after_tenant, after_plan)| {
            let (tenant, plan) = (tenant.clone(), plan.clone());
            async move {
                let (system, keys) = (Tenant::system(), Plan::keys());
                let plans = sqlx::query!(
                    "-- plans_by_name
                    SELECT plan_no, tenant, plan FROM sealbus.plans
                    WHERE ((($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2)) OR (tenant = $3 AND plan = $4))
                        AND (tenant, plan) > ($5, $6)
                    ORDER BY tenant, plan LIMIT $7",
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
                let numbers = plans.into_iter().map(|plan| Ok::<_, LedgerError>(plan.plan_no));
                Ok::<_, LedgerError>(Some((stream::iter(numbers), next)))
            }
        });
        pages.try_flatten()
    }
}
