//! The consumer runtime: what runs handlers, and what a Rust user builds consumers on.
//!
//! A handler is told of every event of its subscription, each plan's events in order, each at least once; where its effect
//! is in the ledger's Postgres it takes effect once, because effect and position commit together. A plan whose event fails
//! waits alone, is tried again by policy, and becomes a dead letter that an operator redrives or skips; all others flow.
//!
//! ```no_run
//! use sealbus_consumer::{Delivery, Handler, HandlerError, OuterEffect, Resources, Settings, SubscriptionSpec, run};
//! use sealbus_core::names::Subscription;
//! use tokio_util::sync::CancellationToken;
//!
//! struct Printer;
//!
//! #[async_trait::async_trait]
//! impl OuterEffect for Printer {
//!     async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
//!         for delivery in run {
//!             println!("{}: {}", delivery.key(), delivery.record.header.event_type);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! async fn consume(resources: Resources, shutdown: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//!     let printer = SubscriptionSpec::new(Subscription::parse("printer")?);
//!     let handler = Handler::Elsewhere(std::sync::Arc::new(Printer));
//!     Ok(run(vec![(printer, handler)], resources, Settings::default(), shutdown).await?)
//! }
//! ```
//!
//! # How it works
//! The stream is the fast path, the ledger the guarantee. A process takes its share of each subscription's partitions by
//! leases (`runtime`). The holder of a share (`partition`) pulls messages (`pull`), whose seals are checked (`intake`), and
//! keeps them by plan (`slots`). Each plan has one actor (`plan_actor`): it decides by a pure rule what an arriving event is
//! (`order`), fetches missing elders from the ledger (`gather`), runs the handler in the transaction that moves the position
//! (`effect`; several plans in one: `group`), and after a failure tries again (`trying`, `retries`) or sets the plan aside.
//! What is set aside is replayed from the ledger when it is due (`due`, `replay`). Whatever the stream lost, the sweep finds
//! in the log (`sweep`). A message is acknowledged when the durable position covers it, and not before.
//!
//! The rules are the protocol's, under "Consume"; each clause of them was found necessary.

mod assignment;
mod handler;
mod intake;
mod metrics;
mod plan;
mod settings;
mod subscription;
mod sweep;

pub use crate::assignment::runtime::{ConsumerError, Resources, run};
pub use crate::handler::{Delivery, Handler, HandlerError, IdempotencyKey, LedgerEffect, OuterEffect};
pub use crate::metrics::Metrics;
pub use crate::settings::Settings;
pub use crate::subscription::{Interest, Parallelism, SubscriptionSpec, Tenants};
