//! The transparency log: one RFC 6962 Merkle tree over the leaves of all events, in the formats of C2SP, so that tools which
//! know those read it (INTEGRITY, The log). No I/O: callers bring tiles, notes and times, and store what comes out.
//!
//! | module | what | written down in |
//! |---|---|---|
//! | [`merkle`] | hashes, growth, proofs and their verification | RFC 6962, RFC 9162 |
//! | [`tile`] | where the tree's hashes and leaves lie, as files or resources | c2sp.org/tlog-tiles |
//! | [`note`] | a text and the lines that sign it; keys as text | c2sp.org/signed-note, c2sp.org/tlog-cosignature |
//! | [`checkpoint`] | the note that says what the tree is: its form, and what a verifier makes of it | c2sp.org/tlog-checkpoint |
//! | [`policy`] | which logs and witnesses are trusted, and how many of those are enough | c2sp.org/tlog-policy |
//! | [`proof`] | an event's proof, which needs nothing beside itself | c2sp.org/tlog-proof |
//! | [`witness`] | what a log asks of a witness, and what a witness answers | c2sp.org/tlog-witness |
//!
//! What is parsed here is written back byte for byte: each format has one spelling, and another one is refused.

pub mod checkpoint;
mod line;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod witness;

/// The most leaves that a log holds: 2^53 − 1, an integer that every JSON reader keeps.
pub const MAX_SIZE: u64 = crate::event::MAX_SEQ;
