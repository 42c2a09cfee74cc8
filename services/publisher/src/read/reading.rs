//! The one place where events become what a reader is shown: encrypted payloads are opened here, for those with the scope
//! `payload.open`, and nowhere else.
//!
//! | payload of the event | with `payload.open` | without |
//! |---|---|---|
//! | plain, hash-only | as stored | as stored |
//! | encrypted | opened, with the metadata that it hid | the envelope |
//! | encrypted, and does not open | the envelope, and `unopened` says why | the envelope |
//! | erased | null, and `unopened` says `ERASED` | the same |
//!
//! An event in a plan `_erasures` is what makes a payload erased: from the moment it is committed nothing under its keys is
//! opened, whether or not their rows are still there.

use std::sync::Arc;

use sealbus_core::envelope::{Envelope, Unopened};
use sealbus_core::error::ErrorKind;
use sealbus_core::event::{PayloadMode, Record, View};
use sealbus_core::names::Tenant;
use sealbus_core::verify::Verdict;
use sealbus_ledger::LedgerError;
use sealbus_ledger::data_keys::StoredKey;
use uuid::Uuid;

use crate::app::App;
use crate::auth::tokens::{Scope, Token};
use crate::http::problem::Problem;

impl App {
    /// The tenant's event with this id, as it is stored.
    ///
    /// # Errors
    /// `not_found`, where the tenant has none.
    pub async fn stored(&self, tenant: &Tenant, id: Uuid) -> Result<Record, Problem> {
        let record = self.ledger.history().event(tenant, id).await?;
        record.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the tenant has no event with this id"))
    }

    /// The same, as the holder of a token is shown it.
    pub async fn view(&self, token: &Token, tenant: &Tenant, id: Uuid) -> Result<View, Problem> {
        let record = Arc::new(self.stored(tenant, id).await?);
        let view = self.views(token, [record]).await?.pop();
        view.ok_or_else(|| Problem::new(ErrorKind::Internal, "the event is not shown"))
    }

    /// These events as the holder of a token is shown them.
    pub async fn views(
        &self,
        token: &Token,
        records: impl IntoIterator<Item = Arc<Record>>,
    ) -> Result<Vec<View>, LedgerError> {
        let may_open = token.may(Scope::PayloadOpen);
        let mut views: Vec<View> = records.into_iter().map(View::stored).collect();
        let mut places: Vec<(usize, Envelope)> = Vec::new();
        let mut names: Vec<(String, Uuid)> = Vec::new();
        for (at, view) in views.iter_mut().enumerate() {
            if view.record.header.payload_mode != PayloadMode::Encrypted {
                continue;
            }
            match Envelope::stored(&view.record) {
                Ok(Some(envelope)) => {
                    names.push((view.record.header.tenant.clone(), envelope.key_id()));
                    places.push((at, envelope));
                }
                Ok(None) => {}
                Err(error) => view.unopened = may_open.then(|| Unopened::from(error).verdict()),
            }
        }
        if names.is_empty() {
            return Ok(views);
        }
        let keys = self.ledger.data_keys().stored(&names).await?;
        for ((at, envelope), key) in places.into_iter().zip(keys) {
            if may_open || key.erased {
                views[at] = self.opened(&views[at].record, &envelope, &key);
            }
        }
        Ok(views)
    }

    /// An encrypted event for somebody who may see into it.
    fn opened(&self, record: &Arc<Record>, envelope: &Envelope, stored: &StoredKey) -> View {
        let key = stored.wrapped.as_ref().filter(|_| !stored.erased).and_then(|row| {
            let unwrapped = self.keyring.unwrap_data_key(row);
            unwrapped.inspect_err(|error| tracing::warn!(error = error.to_string(), "a data key is lost")).ok()
        });
        match envelope.open_stored(&record.header, key.as_ref(), stored.erased) {
            Ok(plaintext) => {
                let metadata = plaintext.with_clear_metadata(&record.metadata);
                View::stored(Arc::new(Record { payload: Some(plaintext.data), metadata, ..record.as_ref().clone() }))
            }
            Err(unopened) => {
                let verdict = unopened.verdict();
                let record = match verdict {
                    Verdict::Erased => Arc::new(Record { payload: None, ..record.as_ref().clone() }),
                    _ => Arc::clone(record),
                };
                View { record, unopened: Some(verdict) }
            }
        }
    }
}
