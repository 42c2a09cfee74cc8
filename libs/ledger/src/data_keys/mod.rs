//! Data keys: the keys of encrypted payloads, by data subject (`docs/spec/integrity.md#erasure-data-key`). They are stored
//! wrapped, and this crate never unwraps one.
//!
//! Whether a key was erased is decided by the events in the plans `_erasures`, never by the table: the rows are deleted because
//! of those events. So a row that a restore brings back opens nothing.

mod affected;
mod erase;

use std::num::NonZeroU32;

use sealbus_core::envelope::{DataSubject, WrappedKey};
use sealbus_core::seal::KeyId;
use uuid::Uuid;

pub use self::affected::{Affected, Passed, vacuum_data_keys};
pub use self::erase::{EraseError, Erasure, ErasureRequest};
use crate::pg::Column;
use crate::{Ledger, LedgerError};

const EPOCH: Column = Column::new("data_keys", "epoch");

/// The data key under which a subject's data are to be encrypted, or the epoch of the key that has to be made.
#[derive(Debug, Clone)]
pub enum Current {
    /// The newest key of the subject, which no erasure has closed.
    Key(WrappedKey),
    /// The subject has no such key. The next one has this epoch.
    Next(NonZeroU32),
}

/// The state in the ledger of a data key that an envelope names.
#[derive(Debug, Clone, Default)]
pub struct StoredKey {
    /// The wrapped key; `None` if there is no valid row.
    pub wrapped: Option<WrappedKey>,
    /// Whether an event records that the key was erased. Then nothing under it may be opened, even if there is a row.
    pub erased: bool,
}

/// A row of table `data_keys`.
struct Row {
    tenant: String,
    key_id: Uuid,
    subject: String,
    epoch: i64,
    kek: String,
    wrapped: Vec<u8>,
}

impl Row {
    /// Converts the row. If a column is not of its form this logs an error and returns `None`: the key counts as lost, and
    /// other events can still be read.
    fn into_wrapped(self) -> Option<WrappedKey> {
        let (subject, epoch) = (DataSubject::parse(&self.subject), epoch(self.epoch));
        let (Ok(subject), Ok(epoch)) = (subject, epoch) else {
            tracing::error!(tenant = self.tenant, key_id = %self.key_id, "stored data key is invalid and counts as lost");
            return None;
        };
        let Self { tenant, key_id, kek, wrapped, .. } = self;
        Some(WrappedKey { tenant, subject, epoch, key_id, kek: KeyId::new(kek), wrapped })
    }
}

/// Access to the data keys and their erasure, from [`Ledger::data_keys`].
#[derive(Clone, Copy)]
pub struct DataKeys<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl DataKeys<'_> {
    /// Returns the keys under which data of some subjects of a tenant are to be encrypted now, in the order of the subjects.
    pub async fn current(self, tenant: &str, subjects: &[DataSubject]) -> Result<Vec<Current>, LedgerError> {
        let names: Vec<&str> = subjects.iter().map(DataSubject::as_str).collect();
        let rows = sqlx::query!(
            r#"-- current_data_keys
            SELECT k.key_id AS "key_id?", k.epoch AS "epoch?", k.kek AS "kek?", k.wrapped AS "wrapped?",
                   k.closed AS "closed?"
            FROM unnest($2::text[]) WITH ORDINALITY AS w (subject, at)
            LEFT JOIN LATERAL (
                SELECT d.key_id, d.epoch, d.kek, d.wrapped, d.closed FROM sealbus.data_keys d
                WHERE d.tenant = $1 AND d.subject = w.subject ORDER BY d.epoch DESC LIMIT 1
            ) k ON true
            ORDER BY w.at"#,
            tenant,
            &names as &[&str],
        );
        let current =
            rows.fetch_all(self.ledger.background()).await?.into_iter().zip(subjects).map(|(row, subject)| {
                let epoch = row.epoch.map(epoch).transpose()?;
                Ok(match (row.key_id, epoch, row.kek, row.wrapped, row.closed) {
                    (Some(key_id), Some(epoch), Some(kek), Some(wrapped), Some(false)) => {
                        let (tenant, subject, kek) = (tenant.to_owned(), subject.clone(), KeyId::new(kek));
                        Current::Key(WrappedKey { tenant, subject, epoch, key_id, kek, wrapped })
                    }
                    (_, None, ..) => Current::Next(NonZeroU32::MIN),
                    (_, Some(last), ..) => {
                        let no_next = || EPOCH.corrupt("the highest epoch is in use; there is no next one");
                        Current::Next(last.checked_add(1).ok_or_else(no_next)?)
                    }
                })
            });
        current.collect()
    }

    /// Stores new data keys. A key whose subject got another key of the same epoch in the meantime is left out; the caller looks
    /// the current key up again.
    pub async fn add(self, keys: &[WrappedKey]) -> Result<(), LedgerError> {
        // All replicas insert in this one order, so that two of them with the same keys do not deadlock.
        let mut keys: Vec<&WrappedKey> = keys.iter().collect();
        keys.sort_by(|one, other| (&one.tenant, &one.subject).cmp(&(&other.tenant, &other.subject)));
        sqlx::query!(
            "-- add_data_keys
            INSERT INTO sealbus.data_keys (tenant, key_id, subject, epoch, kek, wrapped)
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bytea[])
            ON CONFLICT (tenant, subject, epoch) DO NOTHING",
            &keys.iter().map(|key| key.tenant.as_str()).collect::<Vec<_>>() as &[&str],
            &keys.iter().map(|key| key.key_id).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.subject.as_str()).collect::<Vec<_>>() as &[&str],
            &keys.iter().map(|key| i64::from(key.epoch.get())).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.kek.as_str()).collect::<Vec<_>>() as &[&str],
            &keys.iter().map(|key| key.wrapped.as_slice()).collect::<Vec<_>>() as &[&[u8]],
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }

    /// Returns the stored data keys with these names (tenant, key id), in no particular order.
    ///
    /// It does not look at erasures: a returned key may have been erased. See [`DataKeys::stored`].
    pub async fn wrapped(self, names: &[(String, Uuid)]) -> Result<Vec<WrappedKey>, LedgerError> {
        let (tenants, ids) = columns(names);
        let rows = sqlx::query_as!(
            Row,
            "-- wrapped_keys
            SELECT k.tenant, k.key_id, k.subject, k.epoch, k.kek, k.wrapped
            FROM unnest($1::text[], $2::uuid[]) AS w (tenant, key_id)
            JOIN sealbus.data_keys k ON k.tenant = w.tenant AND k.key_id = w.key_id",
            &tenants as &[&str],
            &ids,
        );
        Ok(rows.fetch_all(self.ledger.background()).await?.into_iter().filter_map(Row::into_wrapped).collect())
    }

    /// Returns what the ledger knows about the data keys with these names (tenant, key id), in the order of the names.
    pub async fn stored(self, names: &[(String, Uuid)]) -> Result<Vec<StoredKey>, LedgerError> {
        let (tenants, ids) = columns(names);
        let rows = sqlx::query!(
            r#"-- stored_keys
            SELECT w.tenant AS "tenant!", w.key_id AS "key_id!", k.subject AS "subject?", k.epoch AS "epoch?", k.kek AS "kek?",
                   k.wrapped AS "wrapped?",
                   EXISTS (SELECT FROM sealbus.erasures_of(ARRAY[w.key_id::text]) found
                           JOIN sealbus.events e ON e.plan_no = found.plan_no AND e.seq = found.seq
                           JOIN sealbus.plans p ON p.plan_no = found.plan_no
                           WHERE e.tenant = w.tenant AND p.plan = '_erasures') AS "erased!"
            FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w (tenant, key_id, at)
            LEFT JOIN sealbus.data_keys k ON k.tenant = w.tenant AND k.key_id = w.key_id
            ORDER BY w.at"#,
            &tenants as &[&str],
            &ids,
        );
        let stored = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            let wrapped = match (row.subject, row.epoch, row.kek, row.wrapped) {
                (Some(subject), Some(epoch), Some(kek), Some(wrapped)) => {
                    Row { tenant: row.tenant, key_id: row.key_id, subject, epoch, kek, wrapped }.into_wrapped()
                }
                _ => None,
            };
            StoredKey { wrapped, erased: row.erased }
        });
        Ok(stored.collect())
    }
}

/// Converts the epoch of a data key.
fn epoch(stored: i64) -> Result<NonZeroU32, LedgerError> {
    let epoch: u32 = EPOCH.read(stored)?;
    NonZeroU32::new(epoch).ok_or_else(|| EPOCH.corrupt("0 is not an epoch"))
}

/// Splits names into the columns tenant and key id.
fn columns(names: &[(String, Uuid)]) -> (Vec<&str>, Vec<Uuid>) {
    names.iter().map(|(tenant, key_id)| (tenant.as_str(), *key_id)).unzip()
}
