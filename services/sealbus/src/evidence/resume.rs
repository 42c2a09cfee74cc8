//! The progress of a verification, saved in a file so that an interrupted verification can be resumed.
//!
//! The file is not evidence: anyone who can write it can hide a finding, as can anyone who can replace this program.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealbus_core::verify::CheckedLog;
use sealbus_ledger::verification::{Basis, Scope, Verified};
use serde::{Deserialize, Serialize};

use crate::failure::{Context as _, Failure};
use crate::wiring::{create_private_file, remove_if_exists};

/// How often the file is written.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of a verification, and the file that it is saved in.
pub(super) struct Resume {
    path: PathBuf,
    state: Option<State>,
    saved: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The scope of the verification. A file of another scope cannot be resumed.
    scope: String,
    since: u64,
    /// The checkpoint at which the verification began. Later leaves are left to the next verification.
    checkpoint: String,
    size: u64,
    /// The result for the plans up to and including `through`, in the order in which plans were created.
    done: Verified,
    /// One bit for each claimed leaf, as base64 of little-endian words.
    claims: String,
}

impl Resume {
    /// Reads the file of an interrupted verification, if there is one.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let state = match fs::read(path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| unusable(path, error))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(path, error)),
        };
        Ok(Self { path: path.to_owned(), state, saved: Instant::now() })
    }

    /// Returns the file's name and the checkpoint at which the interrupted verification began.
    pub(super) fn checkpoint(&self) -> Option<(String, Vec<u8>)> {
        let state = self.state.as_ref()?;
        Some((self.path.display().to_string(), state.checkpoint.clone().into_bytes()))
    }

    /// Restores the result of the interrupted verification, and limits the basis to the log as it was at its checkpoint. If
    /// there is no file, it starts a new state and returns an empty result.
    pub(super) fn restore(&mut self, scope: &Scope, basis: &mut Basis, log: &CheckedLog) -> Result<Verified, Failure> {
        let scope = format!("{scope:?}");
        let Some(state) = &self.state else {
            self.state = Some(State {
                scope,
                since: basis.since,
                checkpoint: log.note().map(ToString::to_string).unwrap_or_default(),
                size: log.size(),
                done: Verified::default(),
                claims: String::new(),
            });
            return Ok(Verified::default());
        };
        if (&state.scope, state.since) != (&scope, basis.since) {
            return Err(unusable(
                &self.path,
                "it belongs to a verification with other options; use the same options, or another file",
            ));
        }
        let claims = STANDARD.decode(&state.claims).map_err(|error| unusable(&self.path, error))?;
        let (words, _) = claims.as_chunks();
        log.restore_claims(&words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>());
        basis.limit = basis.limit.min(state.size);
        Ok(state.done.clone())
    }

    /// Saves the result so far, unless the last save was less than [`SAVE_INTERVAL`] ago.
    pub(super) fn save(&mut self, basis: &Arc<Basis>, verified: &Verified) -> Result<(), Failure> {
        let (Some(state), true) = (&mut self.state, self.saved.elapsed() >= SAVE_INTERVAL) else { return Ok(()) };
        self.saved = Instant::now();
        state.done = verified.clone();
        let claims = basis.log.as_ref().map(|log| log.claims()).unwrap_or_default();
        state.claims = STANDARD.encode(claims.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        // The file is replaced as a whole, because a truncated file could not be resumed.
        let new = self.path.with_extension("new");
        let text = serde_json::to_string(state)?;
        let written = remove_if_exists(&new)
            .and_then(|()| create_private_file(&new, &text))
            .and_then(|()| fs::rename(&new, &self.path));
        written.context(format_args!("cannot write {}", self.path.display()))
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        remove_if_exists(&self.path).context(format_args!("cannot remove {}", self.path.display()))
    }
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::new(format!("cannot resume from {}: {reason}", path.display()))
}
