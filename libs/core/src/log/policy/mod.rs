//! Trust policies (c2sp.org/tlog-policy): the trusted logs and witnesses, and the quorum that a checkpoint needs.
//!
//! ```text
//! log bus.example/eu-1+5332af71+AR8Inq4/fGvrQWOVqnDdtG9CaaNAltlbae03WW2GMtVd
//! witness one   witness.example/w1+06a1413f+BGiw7iOLRIbggEnZfPNo14Zenr0TuDfwmw3SJtzZyOXY https://witness.example
//! witness other …
//! group both all one other
//! quorum both
//! ```

mod parse;

use crate::log::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::log::note::{Note, SignatureType, VerifierKey, VerifierKeyError};
use crate::seal::{KeyKind, Keyring};

/// A parsed policy. Names and URLs are byte strings, which are only compared and passed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The keys of the logs, of type 0x01.
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    /// In the order of the file. A group's members are witnesses and earlier groups.
    groups: Vec<Group>,
    /// The witness or the group that has to be satisfied. `None` stands for `quorum none`: no cosignature is required.
    quorum: Option<Member>,
    keys: Vec<VerifierKey>,
}

/// A trusted witness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// The name of the witness within the policy.
    pub name: Vec<u8>,
    /// The key of the witness, of type 0x04.
    pub key: VerifierKey,
    /// The URL of the witness, verbatim.
    pub url: Option<Vec<u8>>,
}

/// A group, which is satisfied if at least `threshold` of its members are.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    threshold: u64,
    members: Vec<Member>,
}

/// A member of a group, as an index into the witnesses or the groups of the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// The error of a malformed policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy line {line}: {problem}")]
pub struct PolicyError {
    /// The line number, from 1. The number after the last line if a line is missing.
    pub line: usize,
    /// The fault.
    pub problem: String,
}

/// The witnesses that cosigned a checkpoint, compared with the quorum of the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum<'p> {
    /// Whether the quorum is reached.
    pub reached: bool,
    /// The witnesses that cosigned, in the order of the policy.
    pub witnesses: Vec<&'p Witness>,
}

impl Policy {
    /// The maximum length of a policy file in bytes.
    pub const MAX_BYTES: usize = 1 << 18;

    /// Returns the text of a policy without witnesses that trusts, for the log `origin`, each `log-` key of the keyring
    /// that is not revoked. Fails if `origin` is not a key name.
    pub fn of_keyring(origin: &str, keyring: &Keyring) -> Result<String, VerifierKeyError> {
        let publics = keyring.public_keys(KeyKind::Log).cloned();
        let keys = publics.map(|public| VerifierKey::new(origin, SignatureType::Ed25519, public));
        let logs: String = keys.map(|key| Ok(format!("log {}\n", key?))).collect::<Result<_, _>>()?;
        Ok(logs + "quorum none\n")
    }

    /// Returns the keys of the logs, of type 0x01, in the order of the file. The name of a key is the origin of its log.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Returns the witnesses in the order of the file.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Returns all keys that the policy makes known: for each log the keys of both types, because one key pair signs
    /// both lines, and the key of each witness.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Verifies a note as a checkpoint of the log `origin` with the keys of the policy. See [`SignedCheckpoint::open`].
    pub fn open(&self, note: &Note, origin: &str) -> Result<SignedCheckpoint, CheckpointError> {
        SignedCheckpoint::open(note, origin, &self.keys)
    }

    /// Returns the witnesses that cosigned the checkpoint, and whether they reach the quorum.
    ///
    /// Cosignatures of the log itself do not count, even if the policy lists its key as a witness. Neither do
    /// cosignatures dated more than 300 s after `now`, which is in seconds since 1970.
    pub fn quorum(&self, checkpoint: &SignedCheckpoint, now: u64) -> Quorum<'_> {
        let cosigned = |witness: &Witness| checkpoint.cosignatures(now).any(|by| !by.by_log && *by.key == witness.key);
        Quorum {
            reached: self.is_reached(cosigned),
            witnesses: self.witnesses.iter().filter(|witness| cosigned(witness)).collect(),
        }
    }

    /// Returns whether the quorum for checkpoints of the log `origin` would be reached if every witness for which
    /// `can_cosign` returns true cosigned. If not, no checkpoint can ever reach it. A witness with the name or a key of
    /// the log never counts.
    pub fn is_reachable(&self, origin: &str, can_cosign: impl Fn(&Witness) -> bool) -> bool {
        let is_log = |key: &VerifierKey| {
            key.name() == origin || self.logs.iter().any(|log| log.name() == origin && log.public() == key.public())
        };
        self.is_reached(|witness| !is_log(&witness.key) && can_cosign(witness))
    }

    /// Returns whether the witnesses for which `cosigned` returns true reach the quorum.
    fn is_reached(&self, cosigned: impl Fn(&Witness) -> bool) -> bool {
        let mut satisfied: Vec<bool> = Vec::with_capacity(self.groups.len());
        let is_satisfied = |member: &Member, satisfied: &[bool]| match *member {
            Member::Witness(index) => cosigned(&self.witnesses[index]),
            Member::Group(index) => satisfied[index],
        };
        for group in &self.groups {
            let members = group.members.iter().filter(|member| is_satisfied(member, &satisfied)).count();
            satisfied.push(members as u64 >= group.threshold);
        }
        self.quorum.is_none_or(|member| is_satisfied(&member, &satisfied))
    }
}
