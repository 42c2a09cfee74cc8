//! The broker of Sealbus: NATS JetStream. This is the only crate that uses the NATS client, and none of the client's
//! types appears in its public functions.
//!
//! The broker makes delivery fast, but it is never authoritative. Messages that are lost, duplicated or forged are
//! detected, and the events are read from the ledger instead. An event passes through this crate as follows:
//!
//! 1. After a commit, a publisher sends a [`Hint`](hints::Hint) about the event to the relay, over core NATS and
//!    without an acknowledgement.
//! 2. The relay encodes each event of the outbox as an [`EventMessage`] and hands it to the connection with
//!    [`Broker::publish`]. [`Sent::acknowledged`] returns once the stream has stored it.
//! 3. A consumer takes messages in batches from [`Deliveries`]. Each message is decoded into the record that the relay
//!    encoded, or into the reason why it is not an event of Sealbus. Its [`Handle`] acknowledges it.
//! 4. [`Broker::copy_dead_letter`] publishes a copy of each event that a subscription cannot apply, for people to read.
//!
//! The streams are declared in [`topology`], the consumer of a subscription in [`ConsumerSpec`].

mod attributes;
mod broker;
mod checkpoints;
mod consume;
mod dead_letters;
mod error;
pub mod hints;
mod message;
mod publish;
pub mod topology;

pub use crate::broker::{Broker, Connection, StreamState};
pub use crate::consume::{ConsumerSpec, Delivered, Deliveries, Handle};
pub use crate::error::{BrokerError, PublishError};
pub use crate::message::{DecodeError, EncodeError, EventMessage};
pub use crate::publish::{Ack, Sent};
