//! The transparency log: one RFC 6962 Merkle tree over the leaves of all events, in C2SP's formats, so that existing
//! tools read it (`docs/spec/integrity.md#the-log`). There is no I/O here: callers pass in tiles, notes and times, and
//! store the results.
//!
//! | module | content | specification |
//! |---|---|---|
//! | [`merkle`] | hashes, appending, proofs and their verification | RFC 6962, RFC 9162 |
//! | [`tile`] | how hashes and leaves are divided into files | c2sp.org/tlog-tiles |
//! | [`note`] | a text with signature lines; keys in text form | c2sp.org/signed-note, c2sp.org/tlog-cosignature |
//! | [`checkpoint`] | the note that states the size and root of the tree, and its verification | c2sp.org/tlog-checkpoint |
//! | [`signer`] | signing of checkpoints by the log and by witnesses | c2sp.org/tlog-cosignature |
//! | [`policy`] | the trusted logs and witnesses, and the quorum of witnesses | c2sp.org/tlog-policy |
//! | [`proof`] | the self-contained proof that an event is in the log | c2sp.org/tlog-proof |
//! | [`witness`] | requests to witnesses, and the decision of a witness | c2sp.org/tlog-witness |
//!
//! Each format has one spelling: a parser accepts exactly the bytes that the writer produces, and refuses everything
//! else.

pub mod checkpoint;
mod line;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod signer;
pub mod tile;
pub mod witness;

/// The maximum number of leaves of a log: 2^53 − 1, the largest integer that every JSON reader represents exactly.
pub const MAX_SIZE: u64 = crate::event::MAX_SEQ;
