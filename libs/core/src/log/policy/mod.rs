//! Trust policies (c2sp.org/tlog-policy): which logs are known, which witnesses, and which of those have to have seen a
//! checkpoint.
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

/// A policy as it was read. Names and URLs are octets: nothing is made of them but comparing and passing on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    /// In the file's order, so that one is made of witnesses and of groups before it.
    groups: Vec<Group>,
    quorum: Wanted,
    keys: Vec<VerifierKey>,
}

/// A log that is trusted to sign its checkpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// Its key, of type 0x01; the name is the log's origin.
    pub key: VerifierKey,
    /// Where it is, as it stands in the file.
    pub url: Option<Vec<u8>>,
}

/// A witness that is trusted to have seen what it cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// What the policy calls it.
    pub name: Vec<u8>,
    /// Its key, of type 0x04.
    pub key: VerifierKey,
    /// Where it takes checkpoints, as it stands in the file.
    pub url: Option<Vec<u8>>,
}

/// So many of the members have to have seen it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    threshold: u64,
    members: Vec<Member>,
}

/// What a group or the quorum names, by its place in the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Who has to have seen a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Nobody,
    Member(Member),
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {problem}")]
pub struct PolicyError {
    /// The line, from 1; behind the last one where something is missing.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What the witnesses of a policy have to say of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum<'p> {
    /// Whether those that have seen it are enough.
    pub reached: bool,
    /// Those that have, in the policy's order.
    pub witnesses: Vec<&'p Witness>,
}

impl Policy {
    /// Bytes of a policy file.
    pub const MAX_BYTES: usize = 1 << 18;

    /// The file of a policy without witnesses: it trusts the log of this origin under each `log-` key of the keyring that was
    /// not revoked.
    ///
    /// # Errors
    /// An origin that is no key name.
    pub fn of_keyring(origin: &str, keyring: &Keyring) -> Result<String, VerifierKeyError> {
        let keys = keyring.public_keys(KeyKind::Log).map(|public| {
            VerifierKey::new(origin, SignatureType::Ed25519, public.clone()).map(|key| format!("log {key}\n"))
        });
        let logs: String = keys.collect::<Result<_, _>>()?;
        Ok(format!("{logs}quorum none\n"))
    }

    /// The logs, in the file's order.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the file's order.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// All keys that the policy makes known: each log's of both types, since one pair signs both lines, and each witness's.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Opens a checkpoint of the log of this origin by the policy's keys, as [`SignedCheckpoint::open`] does.
    pub fn open(&self, note: &Note, origin: &str) -> Result<SignedCheckpoint, CheckpointError> {
        SignedCheckpoint::open(note, origin, &self.keys)
    }

    /// Which witnesses have seen the checkpoint, and whether they are enough. The log's own cosignatures never count, even if
    /// the policy names their key a witness's; nor does one that is dated over 300 s after `now`, in seconds since 1970.
    pub fn quorum(&self, checkpoint: &SignedCheckpoint, now: u64) -> Quorum<'_> {
        let cosigned = |witness: &Witness| checkpoint.cosignatures(now).any(|by| !by.own && *by.key == witness.key);
        let seen: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        Quorum {
            reached: self.is_reached(&seen),
            witnesses: self.witnesses.iter().zip(&seen).filter_map(|(witness, seen)| seen.then_some(witness)).collect(),
        }
    }

    /// Whether cosignatures of all witnesses that `can_see` chooses would be a quorum of a checkpoint of the log of this origin.
    /// Where they would not, no checkpoint ever has one. A witness of the log's own name or key is left out.
    pub fn is_reachable(&self, origin: &str, can_see: impl Fn(&Witness) -> bool) -> bool {
        let of_log = |key: &&VerifierKey| key.name() == origin && key.signature_type() == SignatureType::Ed25519;
        let own: Vec<_> = self.keys.iter().filter(of_log).map(VerifierKey::public).collect();
        let is_own = |witness: &Witness| witness.key.name() == origin || own.contains(&witness.key.public());
        let seen: Vec<bool> = self.witnesses.iter().map(|witness| !is_own(witness) && can_see(witness)).collect();
        self.is_reached(&seen)
    }

    /// Whether the witnesses that have `seen` are enough; a value for each, in the file's order.
    fn is_reached(&self, seen: &[bool]) -> bool {
        let mut reached: Vec<bool> = Vec::with_capacity(self.groups.len());
        let has = |member: &Member, reached: &[bool]| match *member {
            Member::Witness(index) => seen[index],
            Member::Group(index) => reached[index],
        };
        for group in &self.groups {
            let members = group.members.iter().filter(|member| has(member, &reached)).count();
            reached.push(members as u64 >= group.threshold);
        }
        match &self.quorum {
            Wanted::Nobody => true,
            Wanted::Member(member) => has(member, &reached),
        }
    }
}
