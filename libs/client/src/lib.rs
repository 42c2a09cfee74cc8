//! A client of the Sealbus HTTP API: publishing events, and reading or following history.
//!
//! # Publishing
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sealbus_client::{Client, ClientConfig, NewEvent};
//! use serde_json::json;
//!
//! let client = Client::new(ClientConfig::new(["http://localhost:8080"], "the token"))?;
//! let event = NewEvent::new("payment.settled", json!({ "amount": "10.00" }));
//! let published = client.publish("order-42", &event).await?;
//! println!("stored as event {} of the plan", published.event.seq);
//! # Ok(()) }
//! ```
//!
//! When [`Client::publish`] returns, the event is committed and signed. Variants of it publish an event only if the
//! plan has an expected head ([`Client::publish_expecting`]), publish several events of a plan atomically
//! ([`Client::publish_batch`]), wait for a receipt ([`Client::publish_sealed`]), or take CloudEvents
//! ([`Client::publish_cloudevents`]).
//!
//! # Reading
//!
//! ```no_run
//! # async fn example(client: sealbus_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::pin::pin;
//!
//! use futures::TryStreamExt;
//! use sealbus_client::{Scope, TrailQuery};
//!
//! // All payments of a plan.
//! let query = TrailQuery { types: vec!["payment.*".to_owned()], ..TrailQuery::default() };
//! let payments: Vec<_> = client.whole_trail("order-42", query).try_collect().await?;
//!
//! // The same plan from here on, for as long as the program runs.
//! let after = payments.last().map(|event| event.seq);
//! let mut events = pin!(client.tail(Scope::Plan("order-42".to_owned()), after));
//! while let Some(event) = events.try_next().await? {
//!     println!("{} {}", event.seq, event.event_type);
//! }
//! # Ok(()) }
//! ```
//!
//! # Retries
//!
//! - **A retry never stores an event twice.** A [`NewEvent`] has an id from its creation. Publishing it again, by this
//!   client or by the caller, returns the record that was stored the first time.
//! - **What is retried.** An attempt that could not reach the service, or got the status 429, 502, 503 or 504, is
//!   repeated. Every other refusal is returned at once, since it would be repeated too.
//! - **How it is retried.** The next attempt goes to the next URL without a pause. After a round in which every URL
//!   failed, and after 429, the client pauses: for the longest `Retry-After` of the round, or for a pause that doubles
//!   from round to round, whichever is longer. A call that would exceed its [retry budget](ClientConfig::retry_budget)
//!   returns the last error.
//! - **Which URL comes first.** All calls about a plan try the same URL first, in every process that has the same set
//!   of URLs. One replica then batches the plan's events, and replicas do not wait for each other's locks.
//! - **Streams resume.** A stream that breaks or becomes silent is opened again after the last event that was received,
//!   so that no event is skipped or repeated ([`Client::tail`]).
//!
//! # Witnesses
//!
//! [`WitnessClient`] is independent of [`Client`]. With it, the sealer of a log asks a witness for a cosignature.

mod call;
mod client;
mod cloudevents;
mod error;
mod event;
mod publish;
mod read;
mod sse;
mod tail;
mod transport;
mod witness;

pub use sealbus_core::error::FieldError;

pub use crate::client::{Client, ClientConfig};
pub use crate::cloudevents::Outcome;
pub use crate::error::{ClientError, Problem};
pub use crate::event::{Event, Seal, V1};
pub use crate::publish::{Expect, NewEvent, Published, PublishedBatch, PublishedSealed};
pub use crate::read::{Finding, Head, Page, TrailQuery, Verification};
pub use crate::tail::Scope;
pub use crate::witness::{Cosignature, WitnessClient, WitnessError};
