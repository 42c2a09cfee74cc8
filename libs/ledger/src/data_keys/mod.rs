//! Data keys, by which encrypted payloads are read and erased (INTEGRITY, Erasure). The table holds them wrapped; nothing here
//! ever sees one unwrapped.
//!
//! - this file: looking keys up and making them.
//! - `share`: how an append makes sure that none of its keys is being erased.
//! - `erase`: an erasure, in an order that a crash cannot spoil, and doing it again.
//! - `affected`: what an erasure made unreadable, and where copies of it went.
//!
//! Whether a key was erased is never taken from this table: the events in the plans `_erasures` say it, and the rows are gone
//! because of them. So a row that a restore brings back opens nothing.

mod affected;
mod erase;
mod share;

use std::num::NonZeroU32;

use sealbus_core::envelope::{DataSubject, WrappedKey};
use sealbus_core::seal::KeyId;
use uuid::Uuid;

pub use self::affected::{Affected, Passed, vacuum_data_keys};
pub use self::erase::{EraseError, Erasure, ErasureRequest};
pub(crate) use self::share::share;
use crate::{Ledger, LedgerError};

/// A subject's data key to encrypt under, or the epoch of the one that is to be made.
#[derive(Debug, Clone)]
pub enum Current {
    /// The newest one, which no erasure has closed.
    Key(WrappedKey),
    /// There is none; the next is of this epoch.
    Next(NonZeroU32),
}

/// What is known of the data key that an envelope names.
#[derive(Debug, Clone, Default)]
pub struct StoredKey {
    /// Its row, if there is one.
    pub wrapped: Option<WrappedKey>,
    /// Whether an event says that it was erased: then nothing under it is opened, even if its row is there.
    pub erased: bool,
}

struct Row {
    tenant: String,
    key_id: Uuid,
    subject: String,
    epoch: i64,
    kek: String,
    wrapped: Vec<u8>,
}

impl Row {
    /// None where the row is not of its form: such a key unwraps to nothing, and counts as lost.
    fn into_wrapped(self) -> Option<WrappedKey> {
        Some(WrappedKey {
            subject: DataSubject::parse(&self.subject).ok()?,
            epoch: u32::try_from(self.epoch).ok().and_then(NonZeroU32::new)?,
            tenant: self.tenant,
            key_id: self.key_id,
            kek: KeyId::new(self.kek),
            wrapped: self.wrapped,
        })
    }
}

/// The wrapped keys of encrypted payloads, and their erasure. From [`Ledger::data_keys`].
#[derive(Clone, Copy)]
pub struct DataKeys<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl DataKeys<'_> {
    /// The keys under which data of these subjects of a tenant are to be encrypted now, in the order asked.
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
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let current = rows.into_iter().zip(subjects).map(|(row, subject)| {
            let epoch = row.epoch.and_then(|epoch| u32::try_from(epoch).ok()).and_then(NonZeroU32::new);
            match (row.key_id, epoch, row.kek, row.wrapped, row.closed) {
                (Some(key_id), Some(epoch), Some(kek), Some(wrapped), Some(false)) => Current::Key(WrappedKey {
                    tenant: tenant.to_owned(),
                    subject: subject.clone(),
                    epoch,
                    key_id,
                    kek: KeyId::new(kek),
                    wrapped,
                }),
                (_, last, ..) => {
                    Current::Next(last.map_or(NonZeroU32::MIN, |last| last.checked_add(1).unwrap_or(NonZeroU32::MAX)))
                }
            }
        });
        Ok(current.collect())
    }

    /// Stores new data keys. One whose subject got a key of the same epoch meanwhile is left out: look the current one up
    /// again.
    pub async fn add(self, keys: &[WrappedKey]) -> Result<(), LedgerError> {
        // In one order in all replicas, so that two which make the same keys do not wait for each other.
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
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// The data keys of these names, tenant and key id, as far as they are stored; in no order.
    ///
    /// Nothing is said of erasures: a row that is still here may be named by one. See [`DataKeys::stored`].
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
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().filter_map(Row::into_wrapped).collect())
    }

    /// What is known of these data keys, tenant and key id, in the order asked: first whether an event says that the key was
    /// erased, and its row.
    pub async fn stored(self, names: &[(String, Uuid)]) -> Result<Vec<StoredKey>, LedgerError> {
        let (tenants, ids) = columns(names);
        let rows = sqlx::query!(
            r#"-- stored_keys
            SELECT w.tenant AS "tenant!", w.key_id AS "key_id!", k.subject AS "subject?", k.epoch AS "epoch?", k.kek AS "kek?",
                   k.wrapped AS "wrapped?",
                   EXISTS (SELECT FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                           WHERE e.type = 'subject.erased' AND e.tenant = w.tenant AND p.plan = '_erasures'
                             AND (e.payload::jsonb -> 'keys') ? w.key_id::text) AS "erased!"
            FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w (tenant, key_id, at)
            LEFT JOIN sealbus.data_keys k ON k.tenant = w.tenant AND k.key_id = w.key_id
            ORDER BY w.at"#,
            &tenants as &[&str],
            &ids,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let wrapped = match (row.subject, row.epoch, row.kek, row.wrapped) {
                    (Some(subject), Some(epoch), Some(kek), Some(wrapped)) => {
                        Row { tenant: row.tenant, key_id: row.key_id, subject, epoch, kek, wrapped }.into_wrapped()
                    }
                    _ => None,
                };
                StoredKey { wrapped, erased: row.erased }
            })
            .collect())
    }
}

fn columns(names: &[(String, Uuid)]) -> (Vec<&str>, Vec<Uuid>) {
    names.iter().map(|(tenant, key_id)| (tenant.as_str(), *key_id)).unzip()
}
