//! Publishing to Sealbus and reading its history, over HTTP, from another service or from a command.
//!
//! ```no_run
//! # async fn example() -> Result<(), sealbus_client::ClientError> {
//! use sealbus_client::{Client, ClientConfig, NewEvent};
//!
//! let client = Client::new(ClientConfig::new(["http://localhost:8080"], "the token"))?;
//! let event = NewEvent::new("payment.settled", serde_json::json!({ "amount": "10.00" }));
//! let published = client.publish("order-42", &event).await?;
//! println!("{} is number {} of its plan", published.event.id, published.event.seq);
//! # Ok(()) }
//! ```
//!
//! What it takes off its user's hands:
//! - **A retry stores nothing twice.** A [`NewEvent`] has its id from the moment it is made, so that publishing it again,
//!   by the client itself or by its user, gives the record that is there.
//! - **A replica that is away, or asks for patience, is not the end.** Such a failure is tried again at the next URL, and
//!   after a round of them with growing pauses, or as long as the answer's `Retry-After` says, until the
//!   [patience](ClientConfig::patience) is used up. What is wrong with the request itself is never tried again.
//! - **One plan, one replica.** Calls about a plan go to the same URL first, whatever the order of the list: there they
//!   share batches instead of waiting for each other's locks.
//! - **A receipt can be waited for** ([`Client::publish_sealed`]): the proof that the log holds the event, for who keeps it.
//! - **A stream that breaks goes on where it stopped** ([`Client::tail`]).
//!
//! [`ClientError`] says why a call failed: the service's own [`Problem`] where it gave one.
//!
//! [`WitnessClient`] is apart from all that: a log asks a witness with it, which may be anybody's.

mod client;
mod cloudevents;
mod config;
mod error;
mod event;
mod publish;
mod read;
mod receipt;
mod retry;
mod sse;
mod tail;
mod transport;
mod witness;

pub use crate::client::Client;
pub use crate::cloudevents::Outcome;
pub use crate::config::ClientConfig;
pub use crate::error::{ClientError, FieldError, Problem};
pub use crate::event::{Event, Seal, V1};
pub use crate::publish::{Expect, NewEvent, Published, PublishedBatch};
pub use crate::read::{Finding, Head, Page, Plans, TrailQuery, Verification};
pub use crate::receipt::{PublishedSealed, Receipt};
pub use crate::tail::Scope;
pub use crate::witness::{Cosignature, WitnessClient, WitnessError};
