//! Proofs against the shown checkpoint, and receipts: INTEGRITY's record of an event with its proof.

use std::sync::Arc;

use sealbus_core::error::ErrorKind;
use sealbus_core::error_chain;
use sealbus_core::event::{Record, View};
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_core::verify::bundle::write_record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::log::EventPlace;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::http::problem::Problem;
use crate::publish::publishing::Published;

/// An event with its receipt, as the answer to a call that waited shows it.
#[derive(Debug, Serialize)]
pub struct Receipted {
    /// The event as its publisher is shown it; with its log index once it is sealed.
    #[serde(flatten)]
    pub view: View,
    /// Whether the receipt holds its proof.
    pub sealed: bool,
    /// The record, as INTEGRITY writes it.
    pub receipt: Box<RawValue>,
}

/// Why there is no proof of an event that has one.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The database was not read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What it holds proves nothing.
    #[error("the stored log gives no proof; run `sealbus verify --all`")]
    Damaged,
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Ledger(error) => error.into(),
            ProofError::Damaged => {
                tracing::error!(error = error_chain(&error), "a proof was not given");
                Self::new(ErrorKind::Internal, error.to_string())
            }
        }
    }
}

impl Receipted {
    /// Of an event with its proof; without one it has no place in the log yet that could be shown.
    pub fn new(event: &Published, proof: Option<(u64, String)>) -> Self {
        let index = proof.as_ref().map(|(index, _)| *index);
        let (sealed, receipt) = (proof.is_some(), receipt(&event.stored, proof));
        let record = Record { log_index: index, ..event.view.record.as_ref().clone() };
        let view = View { record: Arc::new(record), unopened: event.view.unopened };
        Self { view, sealed, receipt: RawValue::from_string(receipt).expect("a record is written as JSON") }
    }
}

impl App {
    /// Each event with its receipt, in their order, by what is shown now.
    pub async fn receipts(&self, events: &[&Published]) -> Result<Vec<Receipted>, ProofError> {
        let proofs = self.proofs(&events.iter().map(|event| event.stored.as_ref()).collect::<Vec<_>>()).await?;
        Ok(events.iter().zip(proofs).map(|(event, proof)| Receipted::new(event, proof)).collect())
    }

    /// The receipt of an event, by what is shown now.
    pub async fn receipt(&self, record: &Record) -> Result<String, ProofError> {
        Ok(receipt(record, self.proofs(&[record]).await?.pop().flatten()))
    }

    /// The log index and the tlog-proof of each event, in their order; none of one that the shown checkpoint does not cover.
    pub async fn proofs(&self, records: &[&Record]) -> Result<Vec<Option<(u64, String)>>, ProofError> {
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
            // What does not hold is never handed out.
            proof.check(&proof.leaf, &checkpoint).map_err(|_| ProofError::Damaged)?;
            Ok(Some((index, proof.to_string())))
        };
        records.iter().zip(indexes).map(prove).collect()
    }
}

/// INTEGRITY's record of an event as it is stored, with its proof.
fn receipt(record: &Record, proof: Option<(u64, String)>) -> String {
    let (log_index, proof) = proof.unzip();
    let mut receipt = write_record(&Record { log_index, ..record.clone() }, proof.as_deref());
    if proof.is_none() {
        // A record leaves an absent proof out; a receipt says that there is none yet.
        receipt.truncate(receipt.len() - 1);
        receipt.push_str(r#","proof":null}"#);
    }
    receipt
}

fn place(record: &Record) -> EventPlace {
    let header = &record.header;
    EventPlace { tenant: header.tenant.clone(), plan: header.plan.clone(), seq: header.seq }
}
