//! The rules of Sealbus as pure functions: no I/O, no clock, no randomness.
//!
//! The publisher, the sealer, a consumer and an independent verifier call the same functions with the same arguments, so they
//! reach the same result. The lint refuses files, network, clock and environment in this crate.
//!
//! The modules in the order in which an event meets them:
//!
//! | module | content |
//! |---|---|
//! | [`names`] | names of tenants, plans, event types and subscriptions |
//! | [`canonical`] | the strict JSON reader, and the canonical text that is hashed and stored |
//! | [`catalog`] | event types, their schemas, and the policies of channels |
//! | [`request`], [`cloudevents`] | publish requests in the two accepted forms, and the drafts made from them |
//! | [`envelope`] | payloads encrypted for a data subject |
//! | [`error`] | reasons for refusing a request, with code and status |
//! | [`event`] | the header, which holds the sealed fields byte by byte; event ids; leaves of the log |
//! | [`timestamp`], [`hash`] | times and SHA-256 values |
//! | [`duration`], [`clock`] | the spelling of durations; the clock that a caller passes in |
//! | [`partition`] | the advisory lock and the partition of a plan |
//! | [`retry`] | retry policies |
//! | [`seal`] | keys, signing and checking |
//! | [`log`] | the Merkle tree over all events: proofs, tiles, checkpoints, witnesses |
//! | [`v1`] | the signature of an older contract, written in addition to the seal for tenants that need it |
//! | [`verify`] | verification of a ledger or an exported bundle |
//!
//! How a seal works: the *header* holds the fields of an event, the hashes of its payload and metadata, and `prev`, the hash
//! of the plan's previous event. SHA-256 of the header is the *event hash*, which the active key signs. Anyone can follow a
//! chain without a secret, and an event cannot be changed without breaking every later link of its chain.

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
