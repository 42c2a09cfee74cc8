//! Erasure of a data subject, in steps that can be repeated after a crash (`docs/spec/integrity.md#erasure-erase`).
//!
//! 1. The subject's keys are closed. This waits for appends that use one of them. From then on nothing is encrypted under them.
//! 2. `subject.erased` is appended to the tenant's plan `_erasures`. It names the keys, and not the subject.
//! 3. The rows are deleted: the wrapped keys and the name of the subject.
//!
//! A crash after step 1 leaves closed keys, which the next erasure of the subject deletes. A crash after step 2 leaves rows whose
//! keys an event names: they are not used any more, and the next start of a publisher or the next erasure deletes them.

use sealbus_core::canonical;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::{Plan, Tenant};
use serde_json::json;
use uuid::Uuid;

use super::DataKeys;
use crate::LedgerError;
use crate::append::{AppendError, Appender, Call, Expect};
use crate::own_event::{is_reason, own_event};

/// A request to erase a data subject, with the person who orders it and the reason. `Debug` does not print the subject.
#[derive(Clone, Debug)]
pub struct ErasureRequest {
    /// The tenant whose events contain data of the subject.
    pub tenant: Tenant,
    /// The data subject.
    pub subject: DataSubject,
    /// The name of the person who orders the erasure, for the event. It is self-declared.
    pub actor: String,
    /// The reason, for the event: 1 to 2,000 characters without U+0000. It is kept for ever and must not name the subject.
    pub reason: String,
}

/// The result of an erasure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// The data keys that were deleted, ordered by id.
    pub keys: Vec<Uuid>,
    /// The number of other data keys, of any tenant, that earlier erasures name and that still existed. They were deleted too.
    pub redone: u64,
}

/// Reasons why an erasure was not done, or not completed. It can be repeated once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The reason is empty, too long, or contains U+0000.
    #[error("the reason must have 1 to 2,000 characters, without U+0000")]
    Reason,
    /// The reason or the actor contains the name of the subject, which the event would keep.
    #[error("the reason or the actor names the data subject, and the event keeps both for ever; leave the name out")]
    NamesSubject,
    /// The event could not be appended. The keys are closed, and still exist.
    #[error("the erasure could not be recorded, and nothing is erased yet; repeat it")]
    Append(#[source] AppendError),
    /// The database failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl DataKeys<'_> {
    /// Erases a data subject. When this returns, no payload under its keys can be read any more, and the ledger does not contain
    /// its name.
    ///
    /// The call is idempotent: for a subject without keys it succeeds and appends no event. It waits for appends that already use a
    /// key of the subject, and their events are erased too. Events that are published from then on get a new key.
    pub async fn erase(self, appender: &Appender, request: &ErasureRequest) -> Result<Erasure, EraseError> {
        let ErasureRequest { tenant, subject, actor, reason } = request;
        if !is_reason(reason) {
            return Err(EraseError::Reason);
        }
        if names(reason, subject) || names(actor, subject) {
            return Err(EraseError::NamesSubject);
        }
        let keys = self.close_data_keys(tenant, subject).await?;
        let known = self.stored(&keys.iter().map(|id| (tenant.to_string(), *id)).collect::<Vec<_>>()).await?;
        let unrecorded = known.iter().zip(&keys).filter(|(known, _)| !known.erased);
        let unrecorded: Vec<Uuid> = unrecorded.map(|(_, key_id)| *key_id).collect();
        if !unrecorded.is_empty() {
            let payload = canonical::write(&json!({ "keys": unrecorded, "reason": reason }));
            let event = own_event(&self.ledger.deployment().origin, "subject.erased", actor, payload);
            let (tenant, plan) = (tenant.clone(), Plan::erasures());
            let call = Call { tenant, plan, expect: Expect::Any, events: vec![event] };
            appender.append(call).await.map_err(EraseError::Append)?;
        }
        sqlx::query!(
            "-- delete_data_keys\nDELETE FROM sealbus.data_keys WHERE tenant = $1 AND key_id = ANY ($2)",
            tenant.as_str(),
            &keys,
        )
        .execute(self.ledger.background())
        .await
        .map_err(LedgerError::from)?;
        Ok(Erasure { keys, redone: self.redo_erasures().await? })
    }

    /// Repeats all erasures that the ledger's events record, for keys that still exist: after a restore or a crash. Returns the
    /// number of deleted keys. A publisher does this before it serves its first request.
    pub async fn redo_erasures(self) -> Result<u64, LedgerError> {
        let deleted = sqlx::query!(
            "-- redo_erasures
            WITH erased AS MATERIALIZED (
                SELECT e.tenant, CASE WHEN k.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN k.id::uuid END AS key_id
                FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no, unnest(sealbus.erased_keys(e.payload::text)) AS k (id)
                WHERE e.type = 'subject.erased' AND p.plan = '_erasures'
            )
            DELETE FROM sealbus.data_keys d USING erased e WHERE d.tenant = e.tenant AND d.key_id = e.key_id"
        );
        Ok(deleted.execute(self.ledger.background()).await?.rows_affected())
    }

    /// Closes the keys of a subject. Returns all of them, also those that were closed before, ordered by id.
    async fn close_data_keys(self, tenant: &Tenant, subject: &DataSubject) -> Result<Vec<Uuid>, LedgerError> {
        let mut keys = sqlx::query_scalar!(
            "-- close_data_keys
            WITH locked AS MATERIALIZED (
                SELECT k.tenant, k.key_id FROM sealbus.data_keys k WHERE k.tenant = $1 AND k.subject = $2
                ORDER BY k.tenant, k.key_id FOR UPDATE
            )
            UPDATE sealbus.data_keys k SET closed = true FROM locked l
            WHERE k.tenant = l.tenant AND k.key_id = l.key_id RETURNING k.key_id",
            tenant.as_str(),
            subject.as_str(),
        )
        .fetch_all(self.ledger.background())
        .await?;
        keys.sort_unstable();
        Ok(keys)
    }
}

/// Returns whether a text contains the name of the subject as a separate word: `2011` does not contain `1`.
fn names(text: &str, subject: &DataSubject) -> bool {
    let name = subject.as_str();
    let inside = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    text.match_indices(name)
        .any(|(at, _)| !inside(text[..at].chars().next_back()) && !inside(text[at + name.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_names_the_subject_is_found() {
        let named = |text: &str, subject: &str| names(text, &DataSubject::parse(subject).expect("a subject"));
        for text in ["c-7", "request of c-7.", "(c-7)", "mail from c-7: art. 17"] {
            assert!(named(text, "c-7"), "{text}");
        }
        assert!(!named("ticket c-71", "c-7") && !named("request 2011", "1") && !named("art. 17 GDPR", "c-7"));
        assert!(named("Ada Lovelace asked", "Ada Lovelace"));
    }
}
