//! Trust policies (c2sp.org/tlog-policy): the trusted logs and witnesses, and the quorum of witnesses that a checkpoint
//! needs.
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
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    /// In the order of the file. A group's members are witnesses and earlier groups.
    groups: Vec<Group>,
    quorum: QuorumRule,
    keys: Vec<VerifierKey>,
}

/// A trusted log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The key of the log, of type 0x01. Its name is the origin of the log.
    pub key: VerifierKey,
    /// The URL of the log, verbatim.
    pub url: Option<Vec<u8>>,
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

/// The `quorum` line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum QuorumRule {
    /// `quorum none`: no cosignature is required.
    None,
    /// The witness or the group that has to be satisfied.
    Member(Member),
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
        let keys = keyring.public_keys(KeyKind::Log).map(|public| {
            VerifierKey::new(origin, SignatureType::Ed25519, public.clone()).map(|key| format!("log {key}\n"))
        });
        let logs: String = keys.collect::<Result<_, _>>()?;
        Ok(format!("{logs}quorum none\n"))
    }

    /// Returns the logs in the order of the file.
    pub fn logs(&self) -> &[Log] {
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
        let cosigned: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        Quorum {
            reached: self.is_reached(&cosigned),
            witnesses: self
                .witnesses
                .iter()
                .zip(&cosigned)
                .filter_map(|(witness, yes)| yes.then_some(witness))
                .collect(),
        }
    }

    /// Returns whether the quorum for checkpoints of the log `origin` would be reached if every witness for which
    /// `can_cosign` returns true cosigned. If not, no checkpoint can ever reach it. A witness with the name or a key of
    /// the log never counts.
    pub fn is_reachable(&self, origin: &str, can_cosign: impl Fn(&Witness) -> bool) -> bool {
        let of_log = |key: &&VerifierKey| key.name() == origin && key.signature_type() == SignatureType::Ed25519;
        let log_keys: Vec<_> = self.keys.iter().filter(of_log).map(VerifierKey::public).collect();
        let is_log = |witness: &Witness| witness.key.name() == origin || log_keys.contains(&witness.key.public());
        let cosigned: Vec<bool> =
            self.witnesses.iter().map(|witness| !is_log(witness) && can_cosign(witness)).collect();
        self.is_reached(&cosigned)
    }

    /// Returns whether the quorum is reached. `cosigned` has a value for each witness, in the order of the policy.
    fn is_reached(&self, cosigned: &[bool]) -> bool {
        let mut satisfied: Vec<bool> = Vec::with_capacity(self.groups.len());
        let is_satisfied = |member: &Member, satisfied: &[bool]| match *member {
            Member::Witness(index) => cosigned[index],
            Member::Group(index) => satisfied[index],
        };
        for group in &self.groups {
            let members = group.members.iter().filter(|member| is_satisfied(member, &satisfied)).count();
            satisfied.push(members as u64 >= group.threshold);
        }
        match &self.quorum {
            QuorumRule::None => true,
            QuorumRule::Member(member) => is_satisfied(member, &satisfied),
        }
    }
}
