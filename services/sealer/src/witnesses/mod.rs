//! The witnesses of the policy. Each is asked to cosign each checkpoint before it is anchored.
//!
//! All witnesses are asked at the same time. A checkpoint waits for its quorum, and then for the other cosignatures
//! only for [`QUORUM_GRACE`], so that a slow or dead witness delays it little. A witness that still has an earlier
//! checkpoint in flight is skipped.

mod report;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use sealbus_client::{Cosignature, WitnessClient, WitnessError};
use sealbus_core::clock::Clock;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::{Note, Signature, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_ledger::Ledger;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::report::Reporter;
use self::witness::{NoCosignature, Witness};
use crate::sealing::StoredCheckpoint;

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
    /// The policy is that of another log.
    #[error("the policy does not name this log's key; add the line `log {key}`")]
    OtherLog {
        /// The key that the sealer signs with.
        key: String,
    },
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
    /// The note.
    pub note: Note,
    /// Whether the cosignatures satisfy the quorum of the policy.
    pub has_quorum: bool,
    /// The witnesses that have not cosigned.
    pub missing: Vec<Missing>,
}

/// A witness that has not cosigned.
pub(crate) struct Missing {
    /// The name of the witness.
    pub witness: String,
    /// The reason.
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
        if !policy.logs().iter().any(|log| log.key == *key) {
            return Err(WitnessesError::OtherLog { key: key.to_string() });
        }
        if !policy.is_reachable(key.name(), |witness| witness.url.is_some()) {
            return Err(WitnessesError::Unreachable);
        }
        let with_url = policy.witnesses().iter().filter_map(|witness| Some((witness, witness.url.as_deref()?)));
        let members = with_url.map(|(witness, url)| {
            let name = printable(&witness.name);
            match WitnessClient::new(&String::from_utf8_lossy(url), witness.key.clone(), timeout) {
                Ok(client) => Ok(Arc::new(Witness::new(name, client, Arc::clone(&clock)))),
                Err(source) => Err(WitnessesError::Witness { name, source }),
            }
        });
        let members = members.collect::<Result<_, _>>()?;
        Ok(Self { policy, members, timeout, clock })
    }

    /// Returns whether a note has the quorum of the policy, so that it may be shown to readers.
    pub fn suffice(&self, note: &Note, origin: &str) -> bool {
        self.policy
            .open(note, origin)
            .is_ok_and(|signed| self.policy.quorum(&signed, self.clock.unix_seconds()).reached)
    }

    /// Asks all witnesses for cosignatures of a checkpoint. Returns its note with those that arrived in time.
    pub(crate) async fn cosign(
        &self,
        ledger: &Ledger,
        StoredCheckpoint { checkpoint, note }: &StoredCheckpoint,
    ) -> Cosigned {
        let mut results = self.request_all(ledger, checkpoint, note);
        let origin = checkpoint.origin();
        let (mut note, mut missing, mut is_silent) = (note.clone(), Vec::new(), vec![true; self.members.len()]);
        let mut deadline = Instant::now() + self.timeout;
        let mut has_quorum = self.suffice(&note, origin);
        loop {
            if has_quorum {
                deadline = deadline.min(Instant::now() + QUORUM_GRACE);
            }
            let Ok(Some((index, result))) = timeout_at(deadline, results.recv()).await else { break };
            is_silent[index] = false;
            match result.and_then(|cosignature| add_signature(&note, cosignature.line)) {
                Ok(cosigned) => note = cosigned,
                Err(reason) => missing.push(Missing { witness: self.members[index].name().to_owned(), reason }),
            }
            if !has_quorum {
                has_quorum = self.suffice(&note, origin);
            }
        }
        let timeout = if has_quorum { QUORUM_GRACE } else { self.timeout };
        let silent = self.members.iter().zip(is_silent).filter(|(_, is_silent)| *is_silent);
        missing.extend(silent.map(|(witness, _)| Missing {
            witness: witness.name().to_owned(),
            reason: NoCosignature::TimedOut { timeout },
        }));
        if !has_quorum {
            let without_url = self.policy.witnesses().iter().filter(|witness| witness.url.is_none());
            missing.extend(
                without_url.map(|witness| Missing { witness: printable(&witness.name), reason: NoCosignature::NoUrl }),
            );
        }
        Cosigned { note, has_quorum, missing }
    }

    /// Starts one request to each witness. Returns the channel of the results, with the index of the witness.
    fn request_all(
        &self,
        ledger: &Ledger,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> mpsc::Receiver<(usize, Result<Cosignature, NoCosignature>)> {
        let (sender, receiver) = mpsc::channel(self.members.len().max(1));
        for (index, witness) in self.members.iter().enumerate() {
            let (witness, sender, limit) = (Arc::clone(witness), sender.clone(), self.timeout);
            let (ledger, checkpoint, note) = (ledger.clone(), checkpoint.clone(), note.clone());
            tokio::spawn(async move {
                let result = timeout(limit, witness.cosign(&ledger, &checkpoint, &note)).await;
                let result = result.unwrap_or(Err(NoCosignature::TimedOut { timeout: limit }));
                // The receiver is gone if the checkpoint was anchored without this witness.
                let _ = sender.send((index, result)).await;
            });
        }
        receiver
    }

    /// The names of the witnesses with a URL.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|witness| witness.name())
    }
}

/// Returns a note with an additional signature line.
fn add_signature(note: &Note, line: Signature) -> Result<Note, NoCosignature> {
    let lines = note.signatures().iter().cloned().chain([line]).collect();
    Note::new(note.text().to_owned(), lines).map_err(NoCosignature::NoRoom)
}

/// Returns a name of the policy as text. Names may contain any bytes.
fn printable(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
