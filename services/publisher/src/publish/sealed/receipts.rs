//! Proofs against the published checkpoint, and the receipts that contain them (`docs/spec/integrity.md#log-receipts`).

use std::sync::Arc;

use sealbus_core::error::ErrorKind;
use sealbus_core::error_chain;
use sealbus_core::event::{Record, View};
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_core::verify::bundle::write_record;
use sealbus_ledger::log::EventPlace;
use sealbus_ledger::{Ledger, LedgerError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::problem::Problem;
use crate::publish::publishing::Published;

/// An event with its receipt, in the response to a request with `wait=sealed`.
#[derive(Debug, Serialize)]
pub(crate) struct EventWithReceipt {
    /// The event as the publishing client may see it, with its log index if it is sealed.
    #[serde(flatten)]
    pub view: View,
    /// Whether the receipt contains a proof.
    pub sealed: bool,
    /// The receipt as JSON, in the record format of a bundle (`docs/spec/integrity.md#bundle-record`).
    pub receipt: Box<RawValue>,
}

/// The log index of an event, and its proof in the tlog-proof format.
pub(crate) type IndexedProof = (u64, String);

/// Proofs that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// Reading the ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The stored checkpoint or tree is damaged, so that no valid proof can be built from it.
    #[error("the stored log yields no valid proof; run `sealbus verify --all`")]
    Damaged,
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Ledger(error) => error.into(),
            ProofError::Damaged => {
                tracing::error!(error = %error_chain(&error), "the stored log is damaged");
                Self::new(ErrorKind::Internal, error.to_string())
            }
        }
    }
}

impl EventWithReceipt {
    /// Creates the receipt of an event. Without a proof the event is shown without a log index, even if it has one.
    pub(crate) fn new(event: &Published, proof: Option<IndexedProof>) -> Self {
        let index = proof.as_ref().map(|(index, _)| *index);
        let (sealed, receipt) = (proof.is_some(), receipt(&event.stored, proof));
        let record = Record { log_index: index, ..event.view.record.as_ref().clone() };
        let view = View { record: Arc::new(record), unopened: event.view.unopened };
        Self { view, sealed, receipt: RawValue::from_string(receipt).expect("a receipt is valid JSON") }
    }
}

/// Creates receipts and proofs of stored events.
#[derive(Clone)]
pub(crate) struct Receipts {
    ledger: Ledger,
}

impl Receipts {
    /// Creates the handle.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Returns each published event with its receipt, in the given order.
    pub(crate) async fn of_published(&self, events: &[&Published]) -> Result<Vec<EventWithReceipt>, ProofError> {
        let proofs = self.proofs(&events.iter().map(|event| event.stored.as_ref()).collect::<Vec<_>>()).await?;
        Ok(events.iter().zip(proofs).map(|(event, proof)| EventWithReceipt::new(event, proof)).collect())
    }

    /// Returns the receipt of a stored event as JSON.
    pub(crate) async fn of_record(&self, record: &Record) -> Result<String, ProofError> {
        Ok(receipt(record, self.proof(record).await?))
    }

    /// Returns the proof of a stored event, or `None` if the published checkpoint does not cover it.
    pub(crate) async fn proof(&self, record: &Record) -> Result<Option<IndexedProof>, ProofError> {
        Ok(self.proofs(&[record]).await?.pop().flatten())
    }

    /// Returns the proof of each event, in the given order, or `None` for those that the published checkpoint does not cover.
    async fn proofs(&self, records: &[&Record]) -> Result<Vec<Option<IndexedProof>>, ProofError> {
        let Some((size, note)) = self.ledger.log().shown_checkpoint().await? else {
            return Ok(vec![None; records.len()]);
        };
        let note = Note::parse(note.as_bytes()).map_err(|_| ProofError::Damaged)?;
        let checkpoint = note.text().parse().map_err(|_| ProofError::Damaged)?;
        let places: Vec<EventPlace> = records.iter().map(|record| place(record)).collect();
        let indexes = self.ledger.log().leaf_indexes(&places).await?;
        let indexes: Vec<Option<u64>> = indexes.into_iter().map(|index| index.filter(|index| *index < size)).collect();
        let covered: Vec<u64> = indexes.iter().copied().flatten().collect();
        let hashes = self.ledger.log().inclusion_proofs(&covered, size).await?.ok_or(ProofError::Damaged)?;
        let mut hashes = hashes.into_iter();
        let prove = |(record, index): (&&Record, Option<u64>)| {
            let Some(index) = index else { return Ok(None) };
            let leaf = record.leaf();
            let hashes = hashes.next().ok_or(ProofError::Damaged)?;
            let proof = EventProof { leaf, index, hashes, note: note.clone() };
            // An invalid proof is never handed out.
            proof.check(&proof.leaf, &checkpoint).map_err(|_| ProofError::Damaged)?;
            Ok(Some((index, proof.to_string())))
        };
        records.iter().zip(indexes).map(prove).collect()
    }
}

/// Returns the receipt of a stored event: its record in the format of a bundle, with its proof.
fn receipt(record: &Record, proof: Option<IndexedProof>) -> String {
    let (log_index, proof) = proof.unzip();
    let mut receipt = write_record(&Record { log_index, ..record.clone() }, proof.as_deref());
    if proof.is_none() {
        // The record format leaves an absent proof out. A receipt states explicitly that there is none yet.
        receipt.truncate(receipt.len() - 1);
        receipt.push_str(r#","proof":null}"#);
    }
    receipt
}

fn place(record: &Record) -> EventPlace {
    let header = &record.header;
    EventPlace { tenant: header.tenant.clone(), plan: header.plan.clone(), seq: header.seq }
}
