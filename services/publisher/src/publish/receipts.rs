//! Proofs against the published checkpoint, and the receipts that contain them (`docs/spec/integrity.md#log-receipts`).

use sealbus_core::error::ErrorKind;
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_core::verify::bundle::write_record;
use sealbus_ledger::log::EventPlace;
use sealbus_ledger::{Ledger, LedgerError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::Problem;

/// The receipt of an event, in the response to a request with `wait=sealed`.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    /// Whether the receipt contains a proof.
    pub sealed: bool,
    /// The receipt as JSON, in the record format of a bundle (`docs/spec/integrity.md#bundle-record`).
    pub receipt: Box<RawValue>,
}

impl Receipt {
    /// Creates the receipt of a stored event.
    pub(crate) fn new(record: &Record, proof: Option<IndexedProof>) -> Self {
        let (sealed, text) = (proof.is_some(), receipt_text(record, proof));
        Self { sealed, receipt: RawValue::from_string(text).expect("a receipt is valid JSON") }
    }
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

/// Returns the proof of a stored event, or `None` if the published checkpoint does not cover it.
pub(crate) async fn proof_of(ledger: &Ledger, record: &Record) -> Result<Option<IndexedProof>, ProofError> {
    Ok(proofs_of(ledger, &[record]).await?.pop().flatten())
}

/// Returns the proof of each event, in the given order, or `None` for those that the published checkpoint does not cover.
pub(crate) async fn proofs_of(ledger: &Ledger, records: &[&Record]) -> Result<Vec<Option<IndexedProof>>, ProofError> {
    let Some((size, note)) = ledger.log().shown_checkpoint().await? else {
        return Ok(vec![None; records.len()]);
    };
    let note = Note::parse(note.as_bytes()).map_err(|_| ProofError::Damaged)?;
    let checkpoint = note.text().parse().map_err(|_| ProofError::Damaged)?;
    let places: Vec<EventPlace> = records.iter().map(|record| place(record)).collect();
    let indexes = ledger.log().leaf_indexes(&places).await?;
    let indexes: Vec<Option<u64>> = indexes.into_iter().map(|index| index.filter(|index| *index < size)).collect();
    let covered: Vec<u64> = indexes.iter().copied().flatten().collect();
    let hashes = ledger.log().inclusion_proofs(&covered, size).await?.ok_or(ProofError::Damaged)?;
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

/// Returns the receipt of a stored event: its record in the format of a bundle, with its proof.
pub(crate) fn receipt_text(record: &Record, proof: Option<IndexedProof>) -> String {
    let (log_index, proof) = proof.unzip();
    let mut receipt = write_record(&Record { log_index, ..record.clone() }, proof.as_deref());
    if proof.is_none() {
        // A record leaves out the member `proof` until the event has a proof. A receipt has the member with null.
        receipt.truncate(receipt.len() - 1);
        receipt.push_str(r#","proof":null}"#);
    }
    receipt
}

fn place(record: &Record) -> EventPlace {
    let header = &record.header;
    EventPlace { tenant: header.tenant.clone(), plan: header.plan.clone(), seq: header.seq }
}
