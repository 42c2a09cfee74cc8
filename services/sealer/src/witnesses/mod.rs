//! The witnesses of the sealer's policy: each is asked to cosign each checkpoint before it is anchored.
//!
//! All are asked at once, each by a task of its own that ends within [`Witnesses`]' timeout. A checkpoint waits for a quorum,
//! and for what comes in shortly after it, so a witness that is slow or dead delays nobody for long: while it still has an
//! earlier checkpoint in hand it is not asked for another, and then not waited for.

mod asked;
mod report;

use std::sync::Arc;
use std::time::Duration;

use sealbus_client::{WitnessClient, WitnessError};
use sealbus_core::clock::Clock;
use sealbus_core::log::note::{Note, Signature, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_ledger::Ledger;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use self::asked::{Asked, NoCosignature};
pub(crate) use self::report::Reports;
use crate::stored::Stored;

/// How long a checkpoint that has its quorum waits for the other witnesses.
const COMPANY: Duration = Duration::from_millis(500);

/// The policy by which checkpoints are cosigned before they are shown.
pub struct Witnesses {
    policy: Policy,
    asked: Vec<Arc<Asked>>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// Why a policy is none that this log can be sealed by.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// It is another log's.
    #[error("it does not name this log's own key; the sealer signs with it, so it needs the line `log {key}`")]
    OtherLog {
        /// The key that signs.
        key: String,
    },
    /// Nothing would ever be shown.
    #[error(
        "its quorum can never be reached: it asks for witnesses that stand in it without a URL, or that are the log itself; \
         give each a URL behind its key, or ask for fewer"
    )]
    Unreachable,
    /// A witness's line does not say where it is.
    #[error("its witness {name} cannot be asked")]
    Witness {
        /// What the policy calls it.
        name: String,
        /// Why.
        source: WitnessError,
    },
}

/// A note with the cosignatures that came in time.
pub(crate) struct Cosigned {
    /// The note.
    pub note: Note,
    /// Whether they are a quorum, or none is asked for.
    pub reached: bool,
    /// Witnesses that are not on it.
    pub missing: Vec<Missing>,
}

/// A witness that did not cosign.
pub(crate) struct Missing {
    /// What the policy calls it.
    pub witness: String,
    /// Why.
    pub why: NoCosignature,
}

impl Witnesses {
    /// The witnesses of a policy, each of which has `timeout` for a checkpoint. `key` is the log's own, of type 0x01, which the
    /// policy has to name. Nobody is asked yet.
    ///
    /// # Errors
    /// A policy that names other logs only, whose quorum can never be reached, or in which a URL is none.
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
        let asked = with_url.map(|(witness, url)| {
            let name = shown(&witness.name);
            match WitnessClient::new(&String::from_utf8_lossy(url), witness.key.clone(), timeout) {
                Ok(client) => Ok(Arc::new(Asked::new(name, client, Arc::clone(&clock)))),
                Err(source) => Err(WitnessesError::Witness { name, source }),
            }
        });
        let asked = asked.collect::<Result<_, _>>()?;
        Ok(Self { policy, asked, timeout, clock })
    }

    /// Whether a note may be shown to readers: it has the policy's quorum.
    pub fn suffice(&self, note: &Note, origin: &str) -> bool {
        self.policy
            .open(note, origin)
            .is_ok_and(|signed| self.policy.quorum(&signed, self.clock.unix_seconds()).reached)
    }

    /// Asks all of them for cosignatures of the note, and gives it with those that came in time and count.
    pub(crate) async fn cosign(&self, ledger: &Ledger, Stored { checkpoint, note }: &Stored) -> Cosigned {
        let (answer, mut answers) = mpsc::channel(self.asked.len().max(1));
        for (index, witness) in self.asked.iter().enumerate() {
            let (witness, answer, time) = (Arc::clone(witness), answer.clone(), self.timeout);
            let (ledger, checkpoint, note) = (ledger.clone(), checkpoint.clone(), note.clone());
            tokio::spawn(async move {
                let asking = timeout(time, witness.ask(&ledger, &checkpoint, &note));
                let said = asking.await.unwrap_or(Err(NoCosignature::Late { time }));
                // Nobody waits any more: the checkpoint went on without it.
                let _ = answer.send((index, said)).await;
            });
        }
        drop(answer);
        let origin = checkpoint.origin();
        let (mut note, mut silent) = (note.clone(), vec![true; self.asked.len()]);
        let (mut missing, mut until) = (Vec::new(), Instant::now() + self.timeout);
        let mut reached = self.suffice(&note, origin);
        loop {
            if reached {
                until = until.min(Instant::now() + COMPANY);
            }
            let Ok(Some((index, said))) = timeout_at(until, answers.recv()).await else { break };
            silent[index] = false;
            let added = said.and_then(|cosignature| add(&note, cosignature.line));
            match added {
                Ok(longer) => note = longer,
                Err(why) => missing.push(Missing { witness: self.asked[index].name().to_owned(), why }),
            }
            if !reached {
                reached = self.suffice(&note, origin);
            }
        }
        let silent = self.asked.iter().zip(silent).filter(|(_, silent)| *silent);
        missing.extend(silent.map(|(witness, _)| Missing {
            witness: witness.name().to_owned(),
            why: NoCosignature::Late { time: if reached { COMPANY } else { self.timeout } },
        }));
        if !reached {
            let unknown = self.policy.witnesses().iter().filter(|witness| witness.url.is_none());
            missing
                .extend(unknown.map(|witness| Missing { witness: shown(&witness.name), why: NoCosignature::Nowhere }));
        }
        Cosigned { note, reached, missing }
    }

    /// The names of those that are asked.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(|witness| witness.name())
    }
}

fn add(note: &Note, line: Signature) -> Result<Note, NoCosignature> {
    let lines = note.signatures().iter().cloned().chain([line]).collect();
    Note::new(note.text().to_owned(), lines).map_err(NoCosignature::NoRoom)
}

/// A name of the policy, which may be any octets, as text.
fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
