//! The witness: its memory of each log, and the decision to cosign.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sealbus_core::clock::Clock;
use sealbus_core::error_chain;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError, MAX_AHEAD_SECONDS};
use sealbus_core::log::merkle;
use sealbus_core::log::note::{Note, Signature, SignatureType, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::{SignerError, WitnessSigner};
use sealbus_core::log::witness::{AddCheckpoint, CosignedTree, Refusal};
use sealbus_core::seal::{KeyKind, Keyring};

use crate::folder::{Folder, FolderError};

/// The last cosignature of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Memory {
    /// The cosigned tree.
    pub tree: CosignedTree,
    /// The time of the cosignature, in seconds since 1970.
    pub time: u64,
}

/// A witness of the logs of a policy. No other witness can use its folder at the same time.
pub struct Witness {
    signer: WitnessSigner,
    policy: Policy,
    folder: Folder,
    /// The memory of each log, by origin. A request locks it from its decision until the result is on the disk.
    logs: BTreeMap<String, Mutex<Memory>>,
    clock: Arc<dyn Clock>,
}

/// The reason why a witness does not start, or does not begin with a log.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The keyring has no usable key.
    #[error("the witness cannot sign")]
    Signer(#[from] SignerError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The policy names no log.
    #[error("the policy names no log for the witness to follow")]
    NoLog,
    /// The folder has no note of a log of the policy.
    #[error(
        "the witness has no memory of {origin} in {}: if it never cosigned that log, run `sealbus witness --begin {origin}` \
         once. Otherwise its memory is lost, and it must not be used any more: set up another witness with a new key, and \
         have that one pinned instead",
        folder.display()
    )]
    Missing {
        /// The origin of the log.
        origin: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The note of a log is not one that this witness wrote.
    #[error(
        "{} is not a note of {origin} that this witness wrote ({problem}): put the undamaged file back if it is the newest \
         one, never an older one. Without it the witness must not be used any more: set up another witness with a new key, \
         and have that one pinned instead",
        file.display()
    )]
    Damaged {
        /// The origin of the log.
        origin: String,
        /// The file.
        file: PathBuf,
        /// The defect.
        problem: String,
    },
    /// The policy does not name the log to begin with.
    #[error("the policy does not name the log {0}")]
    UnknownLog(String),
    /// The folder already has a note of the log to begin with.
    #[error("the witness has already begun with {origin}; its memory is in {}", file.display())]
    AlreadyBegun {
        /// The origin of the log.
        origin: String,
        /// The file.
        file: PathBuf,
    },
    /// The name of the log to begin with is not valid in a checkpoint.
    #[error("{0:?} is not a valid origin of a log")]
    Origin(String, #[source] CheckpointError),
}

/// The reason why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum NotCosigned {
    /// The rules of witnesses do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The checkpoint could not be stored in the folder. The content of the disk is unknown until the folder is read again.
    #[error("the witness cannot store what it would cosign")]
    Folder(#[from] FolderError),
}

impl Witness {
    /// Opens the witness of this name with the keyring's active `witness-` key and the memory in `folder`. `clock` must
    /// be correct: its time is in the cosignatures.
    ///
    /// # Errors
    /// If another witness uses the folder, or if the folder has no valid note of a log of the policy: a checkpoint of
    /// that log that was cosigned under this name by a `witness-` key of the keyring. That key may be retired, so that
    /// a witness with a new key keeps its memory.
    pub fn open(
        name: &str,
        keyring: &Keyring,
        policy: Policy,
        folder: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessError> {
        let signer = WitnessSigner::new(keyring, name)?;
        let keys = keys_of(name, keyring);
        let folder = Folder::open(folder)?;
        let mut logs = BTreeMap::new();
        for key in policy.logs() {
            let origin = key.name();
            let missing = || WitnessError::Missing { origin: origin.to_owned(), folder: folder.path().to_owned() };
            let bytes = folder.read(origin)?.ok_or_else(missing)?;
            let memory = Memory::read(&bytes, origin, &keys).map_err(|problem| {
                let (origin, file) = (origin.to_owned(), folder.note_file(origin));
                WitnessError::Damaged { origin, file, problem }
            })?;
            logs.insert(origin.to_owned(), Mutex::new(memory));
        }
        if logs.is_empty() {
            return Err(WitnessError::NoLog);
        }
        Ok(Self { signer, policy, folder, logs, clock })
    }

    /// Begins with a log of the policy, of which the witness has not cosigned any tree. It writes a cosigned note of
    /// the empty tree, with which every log begins.
    ///
    /// Only an operator can decide this, once for each log, since a memory that was lost looks the same.
    ///
    /// # Errors
    /// Among others if the folder already has a note of the log.
    pub fn begin(
        origin: &str,
        name: &str,
        keyring: &Keyring,
        policy: &Policy,
        folder: &Path,
        clock: &dyn Clock,
    ) -> Result<(), WitnessError> {
        let signer = WitnessSigner::new(keyring, name)?;
        if !policy.logs().iter().any(|key| key.name() == origin) {
            return Err(WitnessError::UnknownLog(origin.to_owned()));
        }
        let empty = Checkpoint::new(origin, 0, merkle::empty_root());
        let empty = empty.map_err(|error| WitnessError::Origin(origin.to_owned(), error))?;
        let folder = Folder::open(folder)?;
        if folder.read(origin)?.is_some() {
            return Err(WitnessError::AlreadyBegun { origin: origin.to_owned(), file: folder.note_file(origin) });
        }
        let note = note(&empty, vec![signer.cosign(&empty, clock.unix_seconds().max(1))]);
        Ok(folder.write(origin, &note)?)
    }

    /// The key that logs and verifiers pin.
    pub fn verifier_key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    /// Cosigns the checkpoint of a request, or refuses it. The cosignature is on the disk when this returns.
    ///
    /// This method blocks on the disk, and on other requests about the same log. The time of the cosignature is the clock's, or
    /// that of the log's last cosignature if that is later.
    pub fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Signature, NotCosigned> {
        let checkpoint = request.checkpoint();
        let log = self.logs.get(checkpoint.origin()).ok_or(Refusal::UnknownLog)?;
        // A thread that panicked with the lock has not changed the memory, since that is the last step.
        let mut memory = log.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = request.decide(&self.policy, memory.tree).inspect_err(|refusal| {
            if matches!(refusal, Refusal::Inconsistent(_)) {
                self.report_inconsistent(request, memory.tree);
            }
        })?;
        let now = self.clock.unix_seconds();
        if memory.time > now.saturating_add(MAX_AHEAD_SECONDS) {
            tracing::warn!(
                origin = checkpoint.origin(),
                now,
                last_time = memory.time,
                "system clock is behind the last cosignature; reusing that time, which verifiers accept once their clocks reach it"
            );
        }
        let next = Memory { tree, time: now.max(memory.time).max(1) };
        let line = self.signer.cosign(checkpoint, next.time);
        // A client that sends the newest checkpoint repeatedly causes at most one flush of the disk per second.
        if next != *memory {
            let mut lines = self.lines_of_log(request);
            lines.push(line.clone());
            self.folder.write(checkpoint.origin(), &note(checkpoint, lines))?;
            *memory = next;
        }
        Ok(line)
    }

    /// The origins of the logs of the policy.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// Returns the last cosignature of a log, or `None` if the policy does not name the log.
    pub(crate) fn memory(&self, origin: &str) -> Option<Memory> {
        self.logs.get(origin).map(|log| *log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs a checkpoint that does not continue the last tree. Two trees of the same size, both signed by the log,
    /// prove that the log has two histories, and are kept. An invalid proof proves nothing: anyone who saw a checkpoint
    /// can send one.
    fn report_inconsistent(&self, request: &AddCheckpoint, last: CosignedTree) {
        let checkpoint = request.checkpoint();
        let (origin, size) = (checkpoint.origin(), checkpoint.size());
        if size != last.size || checkpoint.root() == last.root {
            tracing::warn!(
                origin,
                size,
                last_size = last.size,
                "checkpoint refused: no valid proof that it continues the last cosigned one"
            );
            return;
        }
        let fork = note(checkpoint, self.lines_of_log(request));
        match self.folder.keep_fork(origin, &fork) {
            Ok(file) => {
                let file = file.display();
                tracing::error!(origin, size, %file, "the log signed two trees of the same size; both notes are kept");
            }
            Err(error) => {
                tracing::error!(
                    origin,
                    size,
                    error = %error_chain(&error),
                    %fork,
                    "the log signed two trees of the same size; the second note could not be kept"
                );
            }
        }
    }

    /// Returns the signatures of a note by the log's keys in the policy: one of each key, and at most as many as leave
    /// room for the witness's. The decision has verified all of them.
    fn lines_of_log(&self, request: &AddCheckpoint) -> Vec<Signature> {
        let origin = request.checkpoint().origin();
        let is_known =
            |line: &Signature| self.policy.keys().iter().any(|key| key.name() == origin && key.id() == line.key_id());
        let mut seen = HashSet::new();
        let lines = request.note().signatures().iter();
        let lines = lines.filter(|line| line.name() == origin && is_known(line) && seen.insert(line.key_id()));
        lines.take(Note::MAX_SIGNATURES - 1).cloned().collect()
    }
}

impl Memory {
    /// Reads the note of a log, which must be cosigned by one of the witness's keys. The error describes its defect.
    fn read(bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, String> {
        let note = Note::parse(bytes).map_err(|error| error.to_string())?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|error: CheckpointError| error.to_string())?;
        if checkpoint.origin() != origin {
            return Err(format!("it is a checkpoint of {}", checkpoint.origin()));
        }
        let lines = note.verify(keys).map_err(|error| error.to_string())?;
        let time = lines.iter().filter_map(|line| line.time).max();
        let time = time.ok_or("it is not cosigned under this name by a witness key of the keyring")?;
        Ok(Self { tree: CosignedTree { size: checkpoint.size(), root: checkpoint.root() }, time })
    }
}

/// Returns the keys with which the witness of this name signs, or has signed.
fn keys_of(name: &str, keyring: &Keyring) -> Vec<VerifierKey> {
    let publics = keyring.public_keys(KeyKind::Witness).cloned();
    publics.filter_map(|public| VerifierKey::new(name, SignatureType::Cosignature, public).ok()).collect()
}

fn note(checkpoint: &Checkpoint, lines: Vec<Signature>) -> Note {
    Note::new(checkpoint.to_string(), lines).expect("a checkpoint with verified signatures is a valid note")
}
