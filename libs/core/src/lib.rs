//! The rules of Sealbus, pure: no I/O on a network or a database, no clock, no randomness. Everything here is a function of
//! its arguments, so that the publisher, the sealer, a consumer and a stranger's verifier come to the same answer.
//!
//! Read it along an event's way:
//!
//! | module | what it decides |
//! |---|---|
//! | [`names`] | what a tenant, a plan, a type, a subscription may be called |
//! | [`canonical`] | which JSON is taken at all, and the one text that is hashed and kept of it |
//! | [`catalog`] | which event types there are, what their data looks like, by which policy they are kept and delivered |
//! | [`request`], [`cloudevents`] | what a publish request may say, in either form, and what is made of it |
//! | [`envelope`] | payloads encrypted for a data subject, until its key is destroyed |
//! | [`error`] | every reason for a refusal, with its code and status |
//! | [`event`] | the header: what of an event is sealed, byte by byte; its id; its leaf in the log |
//! | [`timestamp`], [`hash`] | the two values that headers are made of |
//! | [`duration`], [`clock`] | the spelling of durations; the clock that a caller passes in |
//! | [`partition`] | which lock and which partition a plan has |
//! | [`retry`] | how often a failed delivery is tried again, and after which pause |
//! | [`seal`] | keys, and what they sign and check |
//! | [`log`] | the Merkle tree over all events: proofs, tiles, checkpoints, witnesses |
//! | [`v1`] | the older contract's signature, written beside the seal where a tenant asks for it |
//! | [`verify`] | what is wrong with a ledger or an exported bundle, verdict by verdict |
//!
//! A seal in five lines: the *header* holds the event's fields, the hashes of its payload and metadata, and `prev`, the hash
//! of the plan's event before it. SHA-256 of the header is the *event hash*; the active key signs that. So a chain can be
//! followed by anybody without a secret, and no event of it can be changed without breaking every link after it.

pub mod canonical;
pub mod catalog;
pub mod clock;
pub mod cloudevents;
pub mod duration;
pub mod envelope;
pub mod error;
mod error_chain;
pub mod event;
pub mod hash;
mod key_id;
pub mod log;
pub mod names;
pub mod partition;
pub mod request;
pub mod retry;
pub mod seal;
pub mod timestamp;
pub mod v1;
mod verdict;
pub mod verify;
mod wire;

pub use crate::error_chain::error_chain;
