//! Returns stored events in the form that a client may see. No other code of the API opens encrypted payloads, and this code
//! opens them only for tokens with the scope `payload.open`:
//!
//! | payload of the event | with `payload.open` | without |
//! |---|---|---|
//! | plain, hash-only | as stored | as stored |
//! | encrypted | plaintext, with the metadata that was encrypted | the envelope |
//! | encrypted, cannot be opened | the envelope, and the reason in `unopened` | the envelope |
//! | erased | null, and `ERASED` in `unopened` | the same |
//!
//! Of an event of a tenant that the token does not have, which only the scope `log.read` shows, the client sees neither payload nor
//! metadata.
//!
//! A payload counts as erased when an event in the plan `_erasures` names its key. After the commit of that event, the
//! payload is never opened, even if the key's row still exists.

use std::sync::Arc;

use sealbus_core::envelope::{Envelope, Unopened};
use sealbus_core::error::ErrorKind;
use sealbus_core::error_chain;
use sealbus_core::event::{Header, PayloadMode, Record, View};
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Verdict;
use sealbus_ledger::data_keys::StoredKey;
use sealbus_ledger::{Ledger, LedgerError};
use uuid::Uuid;

use crate::auth::{Scope, Token};
use crate::http::Problem;

/// Reads stored events as a client may see them.
#[derive(Clone)]
pub(crate) struct Reading {
    ledger: Ledger,
    keyring: Arc<Keyring>,
}

impl Reading {
    /// Creates the handle. The keyring unwraps data keys.
    pub(crate) fn new(ledger: Ledger, keyring: Arc<Keyring>) -> Self {
        Self { ledger, keyring }
    }

    /// Returns a stored event as the client with this token may see it.
    ///
    /// # Errors
    /// `ledger_unavailable` if the ledger cannot be read.
    pub(crate) async fn view(&self, token: &Token, record: Record) -> Result<View, Problem> {
        let view = self.views(token, [Arc::new(record)]).await?.pop();
        view.ok_or_else(|| Problem::new(ErrorKind::Internal, "the event has no view"))
    }

    /// Returns the events as the client with this token may see them, in the given order.
    pub(crate) async fn views(
        &self,
        token: &Token,
        records: impl IntoIterator<Item = Arc<Record>>,
    ) -> Result<Vec<View>, LedgerError> {
        let may_open = token.has_scope(Scope::PayloadOpen);
        let mut views: Vec<View> = records.into_iter().map(|record| View::stored(shown_to(token, record))).collect();
        let mut envelopes: Vec<(usize, Envelope)> = Vec::new();
        let mut key_names: Vec<(String, Uuid)> = Vec::new();
        for (index, view) in views.iter_mut().enumerate() {
            let Header { payload_mode, tenant, .. } = &view.record.header;
            if *payload_mode != PayloadMode::Encrypted || !token.has_tenant_named(tenant) {
                continue;
            }
            match Envelope::stored(&view.record) {
                Ok(Some(envelope)) => {
                    key_names.push((view.record.header.tenant.clone(), envelope.key_id()));
                    envelopes.push((index, envelope));
                }
                Ok(None) => {}
                Err(error) => view.unopened = may_open.then(|| Unopened::from(error).verdict()),
            }
        }
        if key_names.is_empty() {
            return Ok(views);
        }
        let keys = self.ledger.data_keys().stored(&key_names).await?;
        for ((index, envelope), key) in envelopes.into_iter().zip(keys) {
            if may_open || key.erased {
                views[index] = self.open(&views[index].record, &envelope, &key);
            }
        }
        Ok(views)
    }

    /// Returns the view of an encrypted event with its plaintext. If the payload cannot be opened, the view names the reason.
    fn open(&self, record: &Arc<Record>, envelope: &Envelope, stored: &StoredKey) -> View {
        let key = stored.wrapped.as_ref().filter(|_| !stored.erased).and_then(|row| {
            let unwrapped = self.keyring.unwrap_data_key(row);
            unwrapped
                .inspect_err(|error| tracing::warn!(error = %error_chain(error), "data key cannot be unwrapped"))
                .ok()
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

/// Returns the record, or, if the token does not have its tenant, the record without payload and metadata.
fn shown_to(token: &Token, record: Arc<Record>) -> Arc<Record> {
    if token.has_tenant_named(&record.header.tenant) {
        return record;
    }
    let Record { header, event_hash, mac, sig, log_index, .. } = &*record;
    Arc::new(Record {
        header: header.clone(),
        event_hash: *event_hash,
        mac: mac.clone(),
        sig: sig.clone(),
        payload: None,
        metadata: "null".to_owned(),
        request_mac: Vec::new(),
        v1: None,
        log_index: *log_index,
    })
}
