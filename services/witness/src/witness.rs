//! The witness itself: what it remembers of each log, and when it cosigns.

use std::collections::BTreeMap;
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

/// What it remembers of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Memory {
    /// The last tree that it cosigned.
    pub tree: CosignedTree,
    /// When, in seconds since 1970.
    pub time: u64,
}

/// A witness of the logs of a policy. It is the only one on its folder.
pub struct Witness {
    signer: WitnessSigner,
    policy: Policy,
    folder: Folder,
    /// A request holds its log's lock from the decision until the disk has what it decided.
    logs: BTreeMap<String, Mutex<Memory>>,
    clock: Arc<dyn Clock>,
}

/// Why a witness does not start, or does not begin with a log.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// It has nothing to sign with.
    #[error("the witness cannot sign")]
    Signer(#[from] SignerError),
    /// The folder does not serve.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The policy names no log.
    #[error("the policy names no log for the witness to follow")]
    NoLog,
    /// A log of the policy is not in the folder.
    #[error(
        "the witness has no memory of {origin} in {}: if it never cosigned that log, run `sealbus witness --begin {origin}` \
         once; if it did, its memory is lost, and so is the witness: give another one a new key, and have it pinned instead",
        folder.display()
    )]
    Missing {
        /// The log.
        origin: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A log's file is not as this witness wrote it.
    #[error(
        "{} is not the memory of {origin} as this witness wrote it ({problem}): bring the undamaged file back if it is the \
         newest, never an older one; without it the witness is lost: give another one a new key, and have it pinned instead",
        file.display()
    )]
    Damaged {
        /// The log.
        origin: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The log to begin with is none of the policy.
    #[error("the policy names no log {origin}")]
    UnknownLog {
        /// The log.
        origin: String,
    },
    /// The log to begin with is in the folder already.
    #[error("the witness has begun with {origin} before, and remembers it in {}", file.display())]
    Begun {
        /// The log.
        origin: String,
        /// The file.
        file: PathBuf,
    },
    /// The log to begin with bears a name that no checkpoint can.
    #[error("{origin:?} is no origin of a log")]
    Origin {
        /// The name.
        origin: String,
        /// Why.
        source: CheckpointError,
    },
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum NotCosigned {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It would have been cosigned, and could not be remembered. What the folder holds is in doubt until it is read again.
    #[error("the witness cannot remember what it would cosign")]
    Folder(#[from] FolderError),
}

impl Witness {
    /// The witness of this name, with the keyring's active `witness-` key and the memory in `folder`. `clock` has to
    /// be right, since the time is what a cosignature adds to a checkpoint.
    ///
    /// Refused: a folder on which another runs; a log of the policy that is not in it, or whose file is not a checkpoint of
    /// that log cosigned under this name by a `witness-` key of the keyring. A retired key is good enough for that, so that a
    /// witness with a new key still knows what it saw under the old one.
    pub fn open(
        name: &str,
        keyring: &Keyring,
        policy: Policy,
        folder: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessError> {
        let signer = WitnessSigner::new(keyring, name)?;
        let own = own_keys(name, keyring);
        let folder = Folder::open(folder)?;
        let mut logs = BTreeMap::new();
        for log in policy.logs() {
            let origin = log.key.name();
            let missing = || WitnessError::Missing { origin: origin.to_owned(), folder: folder.path().to_owned() };
            let bytes = folder.read(origin)?.ok_or_else(missing)?;
            let memory = Memory::read(&bytes, origin, &own).map_err(|problem| {
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

    /// Begins with a log of the policy: the witness of this name has seen no tree of it yet. An operator says so, once for each
    /// log, since a memory that was lost looks the same; a log that is in the folder already is refused.
    ///
    /// The folder then holds the empty tree, with which every log begins, cosigned.
    pub fn begin(
        origin: &str,
        name: &str,
        keyring: &Keyring,
        policy: &Policy,
        folder: &Path,
        clock: &dyn Clock,
    ) -> Result<(), WitnessError> {
        let signer = WitnessSigner::new(keyring, name)?;
        if !policy.logs().iter().any(|log| log.key.name() == origin) {
            return Err(WitnessError::UnknownLog { origin: origin.to_owned() });
        }
        let empty = Checkpoint::new(origin, 0, merkle::empty_root());
        let empty = empty.map_err(|source| WitnessError::Origin { origin: origin.to_owned(), source })?;
        let folder = Folder::open(folder)?;
        if folder.read(origin)?.is_some() {
            return Err(WitnessError::Begun { origin: origin.to_owned(), file: folder.note_file(origin) });
        }
        let note = note(&empty, vec![signer.cosign(&empty, clock.unix_seconds().max(1))]);
        Ok(folder.write(origin, &note)?)
    }

    /// The key that logs and verifiers pin.
    pub fn verifier_key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    /// Cosigns the checkpoint of this request, or refuses. The line is on the disk when it is returned.
    ///
    /// It blocks, on the disk and on the request before it of the same log. Its time is the clock's, or the last
    /// cosignature's where that is later: cosignatures of a log are never dated back.
    pub fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Signature, NotCosigned> {
        let checkpoint = request.checkpoint();
        let log = self.logs.get(checkpoint.origin()).ok_or(Refusal::UnknownLog)?;
        // Whoever panicked under the lock had not changed the memory: that is the last thing that happens.
        let mut memory = log.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = match request.decide(&self.policy, memory.tree) {
            Ok(tree) => tree,
            Err(refusal) => {
                if matches!(refusal, Refusal::Inconsistent(_)) {
                    self.report(request, memory.tree);
                }
                return Err(refusal.into());
            }
        };
        let now = self.clock.unix_seconds();
        if memory.time > now.saturating_add(MAX_AHEAD_SECONDS) {
            tracing::warn!(
                origin = checkpoint.origin(),
                now,
                last = memory.time,
                "the clock is behind the last cosignature, whose time is taken; verifiers count it once they have reached it"
            );
        }
        let next = Memory { tree, time: now.max(memory.time).max(1) };
        let line = self.signer.cosign(checkpoint, next.time);
        // Whoever sends the newest checkpoint again and again has the disk flushed once a second, not each time.
        if next != *memory {
            let mut lines = self.lines_of_log(request);
            lines.push(line.clone());
            self.folder.write(checkpoint.origin(), &note(checkpoint, lines))?;
            *memory = next;
        }
        Ok(line)
    }

    /// The logs that it follows.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// What it remembers of a log; `None` of one that it does not follow.
    pub(crate) fn memory(&self, origin: &str) -> Option<Memory> {
        self.logs.get(origin).map(|log| *log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says what does not continue the last tree. Two trees of one size, both signed by the log, prove that it has two
    /// histories; a proof that does not hold may have been sent by anybody who saw the checkpoint.
    fn report(&self, request: &AddCheckpoint, last: CosignedTree) {
        let checkpoint = request.checkpoint();
        let (origin, size) = (checkpoint.origin(), checkpoint.size());
        if size != last.size || checkpoint.root() == last.root {
            tracing::warn!(
                origin,
                size,
                last = last.size,
                "a checkpoint came without a proof that it continues the last"
            );
            return;
        }
        let fork = note(checkpoint, self.lines_of_log(request));
        match self.folder.keep_fork(origin, &fork) {
            Ok(file) => {
                let file = file.display();
                tracing::error!(origin, size, %file, "the log has signed two trees of one size; both notes are kept");
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(origin, size, error, %fork, "the log has signed two trees of one size; this is the second");
            }
        }
    }

    /// The note's lines of the log's known keys, one of each and as many as leave room for the witness's. The decision has found
    /// all of them right.
    fn lines_of_log(&self, request: &AddCheckpoint) -> Vec<Signature> {
        let origin = request.checkpoint().origin();
        let known =
            |line: &Signature| self.policy.keys().iter().any(|key| key.name() == origin && key.id() == line.key_id());
        let mut lines: Vec<Signature> = Vec::new();
        for line in request.note().signatures().iter().filter(|line| line.name() == origin && known(line)) {
            if !lines.iter().any(|other| other.key_id() == line.key_id()) {
                lines.push(line.clone());
            }
        }
        lines.truncate(Note::MAX_SIGNATURES - 1);
        lines
    }
}

impl Memory {
    /// What the bytes of a log's file say; or what is wrong with them.
    fn read(bytes: &[u8], origin: &str, own: &[VerifierKey]) -> Result<Self, String> {
        let note = Note::parse(bytes).map_err(|error| error.to_string())?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|error: CheckpointError| error.to_string())?;
        if checkpoint.origin() != origin {
            return Err(format!("it is the checkpoint of {}", checkpoint.origin()));
        }
        let lines = note.verify(own).map_err(|error| error.to_string())?;
        let time = lines.iter().filter_map(|line| line.time).max();
        let time = time.ok_or("no witness key of the keyring has cosigned it under this name")?;
        Ok(Self { tree: CosignedTree { size: checkpoint.size(), root: checkpoint.root() }, time })
    }
}

/// The keys under which the witness of this name signs or has signed.
fn own_keys(name: &str, keyring: &Keyring) -> Vec<VerifierKey> {
    let publics = keyring.public_keys(KeyKind::Witness).cloned();
    publics.filter_map(|public| VerifierKey::new(name, SignatureType::Cosignature, public).ok()).collect()
}

fn note(checkpoint: &Checkpoint, lines: Vec<Signature>) -> Note {
    Note::new(checkpoint.to_string(), lines).expect("a checkpoint with lines of known keys is a note")
}
