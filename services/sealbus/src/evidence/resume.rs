//! A verification that is interrupted and goes on: what was done, in a file of the operator's.
//!
//! The file holds what is known by then, not evidence: whoever can write it can hide a finding, as whoever can replace this
//! program can.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::verify::{CheckedLog, Finding};
use sealbus_ledger::verification::{Basis, Scope, Verified};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// How often it is written.
const EVERY: Duration = Duration::from_secs(5);

/// What was done of a verification, and the file that keeps it.
pub(super) struct Resume {
    path: PathBuf,
    state: Option<State>,
    written: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// What is verified: another question is not answered by it.
    scope: String,
    since: u64,
    /// The checkpoint that it began with; what came after it is left to the next verification.
    checkpoint: String,
    size: u64,
    done: Done,
    /// A bit for each leaf that is claimed, in base64 of little-endian words.
    claims: String,
}

/// What was read, up to and with the plan that `through` names, in the order of the plans' creation.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    through: Option<(String, String)>,
    events: u64,
    plans: u64,
    sealed: u64,
    unchecked: u64,
    later: u64,
    findings: Vec<Finding>,
}

impl Resume {
    /// The file at this path, if an interrupted verification left it there.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let state = match fs::read(path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| useless(path, error))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(useless(path, error)),
        };
        Ok(Self { path: path.to_owned(), state, written: Instant::now() })
    }

    /// The checkpoint that the interrupted verification began with, and what to call it.
    pub(super) fn checkpoint(&self) -> Option<(String, Vec<u8>)> {
        let state = self.state.as_ref()?;
        Some((self.path.display().to_string(), state.checkpoint.clone().into_bytes()))
    }

    /// Takes up what was done, or begins: the basis is then the log as far as the checkpoint of the beginning covers it.
    pub(super) fn take_up(&mut self, scope: &Scope, basis: &mut Basis, log: &CheckedLog) -> Result<Verified, Failure> {
        let scope = format!("{scope:?}");
        let Some(state) = &self.state else {
            self.state = Some(State {
                scope,
                since: basis.since,
                checkpoint: log.note().map(ToString::to_string).unwrap_or_default(),
                size: log.size(),
                done: Done::default(),
                claims: String::new(),
            });
            return Ok(Verified::default());
        };
        if (&state.scope, state.since) != (&scope, basis.since) {
            return Err(useless(&self.path, "it was begun with another question; ask the same, or name another file"));
        }
        let claims = STANDARD.decode(&state.claims).map_err(|error| useless(&self.path, error))?;
        let (words, _) = claims.as_chunks();
        log.restore_claims(&words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>());
        basis.limit = basis.limit.min(state.size);
        let Done { through, events, plans, sealed, unchecked, later, findings } = &state.done;
        Ok(Verified {
            through: through.clone(),
            events: *events,
            plans: *plans,
            sealed: *sealed,
            unchecked: *unchecked,
            later: *later,
            findings: findings.clone(),
        })
    }

    /// Notes what is done by now, and writes it every few seconds.
    pub(super) fn keep(&mut self, basis: &Arc<Basis>, verified: &Verified) -> Result<(), Failure> {
        let (Some(state), true) = (&mut self.state, self.written.elapsed() >= EVERY) else { return Ok(()) };
        self.written = Instant::now();
        let Verified { through, events, plans, sealed, unchecked, later, findings } = verified.clone();
        state.done = Done { through, events, plans, sealed, unchecked, later, findings };
        let claims = basis.log.as_ref().map(|log| log.claims()).unwrap_or_default();
        state.claims = STANDARD.encode(claims.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        // Whole or not at all: a file that was cut by a crash would be of no use.
        let new = self.path.with_extension("new");
        let text = serde_json::to_vec(state).map_err(|error| useless(&self.path, error))?;
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|error| Failure::new(format!("{} cannot be written: {error}", self.path.display())))
    }

    /// Nothing is left to go on from.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::new(format!("{} cannot be removed: {error}", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}

fn useless(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("{} cannot be gone on from: {why}", path.display()))
}
