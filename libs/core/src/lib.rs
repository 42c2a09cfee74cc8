//! The rules of Sealbus as pure functions: no I/O, no clock, no randomness.
//!
//! The publisher, the sealer, a consumer and an independent verifier call the same functions with the same arguments, so they
//! reach the same result. The lint refuses files, network, clock and environment in this crate.
//!
//! An event meets the modules in this order: [`request`] and [`cloudevents`] read a publish request with the strict reader of
//! [`canonical`], check it against the [`catalog`], and make a draft of it, whose payload [`envelope`] encrypts if it is about a
//! data subject. [`event`] encodes the sealed fields, [`seal`] signs and checks them, and [`v1`] adds the signature of an older
//! contract for tenants that need it. [`log`] is the Merkle tree over all events, and [`verify`] verifies a ledger or an exported
//! bundle. [`error`] has the codes of all refusals.
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
pub mod json;
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
