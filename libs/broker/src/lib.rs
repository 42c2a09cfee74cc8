//! The broker: everything of Sealbus that speaks to NATS, and the only crate that knows its client.
//!
//! The broker is the fast path and never the truth: whatever it loses, doubles or forges is found and made good from the
//! ledger. An event's way through here:
//!
//! 1. A publisher offers what it has committed to the relay as a [`Hint`](hints::Hint): core NATS, fire and forget.
//! 2. The relay turns each event of the outbox into an [`EventMessage`], hands it to the connection with
//!    [`Broker::publish`], and is told by [`Sent::acknowledged`] when the stream holds it.
//! 3. A consumer takes messages in batches from [`Deliveries`], each read back into the record that it was made of, or into
//!    the reason why it is none of ours, and answers each with its [`Handle`].
//! 4. What a subscription cannot apply is shown to people as a copy ([`DeadLetter`]).
//!
//! Which streams there are stands in [`topology`] as data, and what a consumer is in [`ConsumerSpec`]. No type of the
//! client's appears in a signature here.

mod attributes;
mod broker;
mod checkpoints;
mod consume;
mod consumer;
mod dead_letters;
mod error;
pub mod hints;
mod message;
mod publish;
mod server;
pub mod topology;

pub use crate::broker::{Broker, BrokerConfig, Connection, StreamState};
pub use crate::consume::{Delivered, Deliveries, Handle};
pub use crate::consumer::ConsumerSpec;
pub use crate::dead_letters::DeadLetter;
pub use crate::error::{BrokerError, Cause, PublishError};
pub use crate::message::{DecodeError, EncodeError, EventMessage};
pub use crate::publish::{Ack, Sent};
pub use crate::server::Version;
