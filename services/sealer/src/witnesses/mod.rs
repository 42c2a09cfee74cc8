//! The witnesses of the policy. Each is asked to cosign each checkpoint before it is anchored.
//!
//! All witnesses are asked at the same time. A checkpoint waits for its quorum until the timeout. Once it has its quorum, it
//! waits for the other cosignatures for at most [`QUORUM_GRACE`], so that a slow or unreachable witness delays it little.
//! A witness that still has a request for an earlier checkpoint in flight is skipped.

mod report;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use sealbus_client::{Cosignature, WitnessClient, WitnessError};
use sealbus_core::clock::Clock;
use sealbus_core::log::checkpoint::{Checkpoint, MAX_AHEAD_SECONDS};
use sealbus_core::log::note::{Note, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_ledger::Ledger;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::report::Reporter;
use self::witness::{NoCosignature, Witness};
use crate::shared::StoredCheckpoint;

/// How long a checkpoint that has its quorum waits for the other witnesses.
const QUORUM_GRACE: Duration = Duration::from_millis(500);

/// The policy under which checkpoints are shown to readers, and its witnesses.
pub struct Witnesses {
    policy: Policy,
    /// The witnesses with a URL.
    members: Vec<Arc<Witness>>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// The reason why this log cannot be sealed under a policy.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// The policy is for another log.
    #[error("the policy does not name this log's key; add the line `log {0}`")]
    OtherLog(String),
    /// No checkpoint would ever be shown.
    #[error(
        "the quorum of the policy can never be reached, since it needs witnesses without a URL, or the log itself as a \
         witness; add a URL after the key of each witness, or lower the quorum"
    )]
    Unreachable,
    /// The line of a witness is not usable.
    #[error("witness {name} of the policy is not usable")]
    Witness {
        /// The name of the witness.
        name: String,
        /// The error of its URL or key.
        source: WitnessError,
    },
}

/// A note with the cosignatures that arrived in time.
pub(crate) struct Cosigned {
    pub note: Note,
    /// Whether the cosignatures satisfy the quorum of the policy.
    pub has_quorum: bool,
    /// The witnesses that have not cosigned.
    pub missing: Vec<Missing>,
}

/// A witness that has not cosigned.
pub(crate) struct Missing {
    pub witness: String,
    pub reason: NoCosignature,
}

impl Witnesses {
    /// Returns the witnesses of a policy, without connecting yet. `timeout` limits the wait for the cosignatures of a
    /// checkpoint. `key` is the log's own key, of type 0x01.
    ///
    /// # Errors
    /// If the policy does not name `key`, its quorum can never be reached, or a URL is not valid.
    pub fn new(
        policy: Policy,
        key: &VerifierKey,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessesError> {
        if !policy.logs().contains(key) {
            return Err(WitnessesError::OtherLog(key.to_string()));
        }
        if !policy.is_reachable(key.name(), |witness| witness.url.is_some()) {
            return Err(WitnessesError::Unreachable);
        }
        let with_url = policy.witnesses().iter().filter_map(|witness| Some((witness, witness.url.as_deref()?)));
        let members = with_url.map(|(witness, url)| {
            let name = printable(&witness.name);
            match WitnessClient::new(&String::from_utf8_lossy(url), witness.key.clone(), timeout) {
                Ok(client) => Ok(Arc::new(Witness::new(name, client))),
                Err(source) => Err(WitnessesError::Witness { name, source }),
            }
        });
        let members = members.collect::<Result<_, _>>()?;
        Ok(Self { policy, members, timeout, clock })
    }

    /// Returns whether a note has the quorum of the policy, so that it may be shown to readers.
    pub fn suffice(&self, note: &Note, origin: &str) -> bool {
        let signed = self.policy.open(note, origin);
        signed.is_ok_and(|signed| self.policy.quorum(&signed, self.clock.unix_seconds()).reached)
    }

    /// Asks all witnesses for cosignatures of a checkpoint. Returns its note with those that arrived in time.
    pub(crate) async fn cosign(
        &self,
        ledger: &Ledger,
        StoredCheckpoint { checkpoint, note }: &StoredCheckpoint,
    ) -> Cosigned {
        let mut results = self.request_all(ledger, checkpoint, note);
        let (mut note, origin) = (note.clone(), checkpoint.origin());
        // The result of each witness, or `None` before it has arrived.
        let mut answers: Vec<Option<Result<(), NoCosignature>>> = self.members.iter().map(|_| None).collect();
        let mut deadline = Instant::now() + self.timeout;
        let mut has_quorum = self.suffice(&note, origin);
        loop {
            if has_quorum {
                deadline = deadline.min(Instant::now() + QUORUM_GRACE);
            }
            let Ok(Some((index, result))) = timeout_at(deadline, results.recv()).await else { break };
            answers[index] = Some(match result.and_then(|cosignature| self.add(&note, cosignature)) {
                Ok(cosigned) => {
                    note = cosigned;
                    Ok(())
                }
                Err(reason) => Err(reason),
            });
            has_quorum = has_quorum || self.suffice(&note, origin);
        }
        let timeout = if has_quorum { QUORUM_GRACE } else { self.timeout };
        let mut missing = Vec::new();
        for (witness, answer) in self.members.iter().zip(answers) {
            if let Err(reason) = answer.unwrap_or(Err(NoCosignature::TimedOut { timeout })) {
                missing.push(Missing { witness: witness.name.clone(), reason });
            }
        }
        if !has_quorum {
            let without_url = self.policy.witnesses().iter().filter(|witness| witness.url.is_none());
            let names = without_url.map(|witness| printable(&witness.name));
            missing.extend(names.map(|witness| Missing { witness, reason: NoCosignature::NoUrl }));
        }
        Cosigned { note, has_quorum, missing }
    }

    /// Starts one request to each witness. Returns the channel of the results, with the index of the witness.
    fn request_all(
        &self,
        ledger: &Ledger,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> mpsc::UnboundedReceiver<(usize, Result<Cosignature, NoCosignature>)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for (index, witness) in self.members.iter().enumerate() {
            let (witness, sender, limit) = (Arc::clone(witness), sender.clone(), self.timeout);
            let (ledger, checkpoint, note) = (ledger.clone(), checkpoint.clone(), note.clone());
            tokio::spawn(async move {
                let result = timeout(limit, witness.cosign(&ledger, &checkpoint, &note)).await;
                let result = result.unwrap_or(Err(NoCosignature::TimedOut { timeout: limit }));
                // The receiver is gone if the checkpoint was anchored without this witness.
                let _ = sender.send((index, result));
            });
        }
        receiver
    }

    /// Returns a note with an additional cosignature.
    fn add(&self, note: &Note, Cosignature { line, time }: Cosignature) -> Result<Note, NoCosignature> {
        let ahead_seconds = time.saturating_sub(self.clock.unix_seconds());
        if ahead_seconds > MAX_AHEAD_SECONDS {
            return Err(NoCosignature::FutureTime { ahead_seconds });
        }
        let lines = note.signatures().iter().cloned().chain([line]).collect();
        Note::new(note.text().to_owned(), lines).map_err(NoCosignature::NoRoom)
    }
}

/// Returns a name of the policy as text. Names may contain any bytes.
fn printable(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
