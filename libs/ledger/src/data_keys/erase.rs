//! An erasure, in an order that a crash cannot spoil.
//!
//! 1. The subject's keys are closed, which waits for appends that hold one: from here on nothing new is encrypted under them.
//! 2. `subject.erased` is appended to the tenant's plan `_erasures`, naming the keys and not the subject.
//! 3. The rows are deleted: the wrapped key, and the subject's name.
//!
//! A crash behind 1 leaves keys that only the next erasure of the subject takes up; one behind 2 leaves rows that an event
//! names, which nobody opens any more, and which the next start of a publisher or the next erasure deletes.

use sealbus_core::canonical;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::{Plan, Tenant};
use serde_json::json;
use uuid::Uuid;

use super::DataKeys;
use crate::LedgerError;
use crate::append::{AppendError, Appender, Call, Draft, Expect};
use crate::own_event::own_event;

/// Whose data are to be erased, who says so, and why. The subject does not print.
#[derive(Clone, Debug)]
pub struct ErasureRequest {
    /// Whose data subject.
    pub tenant: Tenant,
    /// Who is to be forgotten.
    pub subject: DataSubject,
    /// The person who orders it, as the event names them.
    pub actor: String,
    /// Why, in that person's words: kept for ever, so it must not name the subject.
    pub reason: String,
}

/// What an erasure did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// The data keys that are destroyed now, in the order of their ids.
    pub keys: Vec<Uuid>,
    /// Rows of earlier erasures, of any tenant, that were still there and are destroyed now too.
    pub redone: u64,
}

/// Why an erasure was not done, or not to its end. Asking again is right, once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The reason is kept for ever, so there must be one.
    #[error("a reason of 1 to 2,000 characters is needed, without U+0000")]
    Reason,
    /// The event would keep what is to be erased.
    #[error(
        "the reason or the actor names the data subject, and the event keeps both for ever: say it without the name"
    )]
    NamesSubject,
    /// The event could not be appended. The keys are closed and still there.
    #[error("the erasure could not be recorded, and nothing is erased yet: run the same command again")]
    Append(#[source] AppendError),
    /// The database.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl DataKeys<'_> {
    /// Erases a data subject: every payload under its keys is unreadable from here on, and its name is gone from the ledger.
    ///
    /// Idempotent: a subject without keys is no error, and gets no event. What appends held a key when this began is waited
    /// for, and is erased with the rest; what is published from then on gets a new key.
    pub async fn erase(self, appender: &Appender, order: &ErasureRequest) -> Result<Erasure, EraseError> {
        let ErasureRequest { tenant, subject, actor, reason } = order;
        if reason.is_empty() || reason.chars().count() > 2_000 || reason.contains('\0') {
            return Err(EraseError::Reason);
        }
        if names(reason, subject) || names(actor, subject) {
            return Err(EraseError::NamesSubject);
        }
        let keys = self.close_data_keys(tenant, subject).await?;
        let known = self.stored(&keys.iter().map(|id| (tenant.to_string(), *id)).collect::<Vec<_>>()).await?;
        let told = known.iter().zip(&keys).filter(|(known, _)| !known.erased);
        let told: Vec<Uuid> = told.map(|(_, key_id)| *key_id).collect();
        if !told.is_empty() {
            let call = Call {
                tenant: tenant.clone(),
                plan: Plan::erasures(),
                expect: Expect::Any,
                events: vec![self.erasure_event(order, &told)],
            };
            appender.append(call).await.map_err(EraseError::Append)?;
        }
        self.delete_data_keys(tenant, &keys).await?;
        let redone = self.redo_erasures().await?;
        Ok(Erasure { keys, redone })
    }

    /// Carries out every erasure that the ledger's events tell, where a row is still there: after a restore, or a crash. Gives
    /// how many keys were destroyed. A publisher does this before it answers anybody.
    pub async fn redo_erasures(self) -> Result<u64, LedgerError> {
        let deleted = sqlx::query!(
            "-- redo_erasures
            WITH named AS MATERIALIZED (
                SELECT e.tenant, CASE WHEN jsonb_typeof(e.payload::jsonb -> 'keys') = 'array' THEN e.payload::jsonb -> 'keys' END AS keys
                FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                WHERE e.type = 'subject.erased' AND p.plan = '_erasures'
            ), erased AS MATERIALIZED (
                SELECT n.tenant, CASE WHEN k.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN k.id::uuid END AS key_id
                FROM named n, jsonb_array_elements_text(n.keys) AS k (id)
            )
            DELETE FROM sealbus.data_keys d USING erased e WHERE d.tenant = e.tenant AND d.key_id = e.key_id"
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(deleted.rows_affected())
    }

    /// Closes a subject's keys, in the order of their ids, and gives all of them, closed before or now.
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
        .fetch_all(self.ledger.pool())
        .await?;
        keys.sort_unstable();
        Ok(keys)
    }

    async fn delete_data_keys(self, tenant: &Tenant, keys: &[Uuid]) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- delete_data_keys\nDELETE FROM sealbus.data_keys WHERE tenant = $1 AND key_id = ANY ($2)",
            tenant.as_str(),
            keys,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// The event that says what was erased.
    fn erasure_event(self, order: &ErasureRequest, keys: &[Uuid]) -> Draft {
        let payload = canonical::write(&json!({ "keys": keys, "reason": order.reason }));
        own_event(&self.ledger.deployment().origin, "subject.erased", &order.actor, payload)
    }
}

/// Whether the subject's name stands in a text as a word of its own: `1` does not stand in `2011`.
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
