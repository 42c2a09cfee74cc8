//! The consumer runtime: delivers the events of a subscription to a handler.
//!
//! It is the engine of the dispatcher's sinks, and the library with which a Rust service consumes events itself.
//!
//! # Guarantees
//! A handler is called for every event of its subscription, in order within each plan, at least once. An effect in the
//! ledger's Postgres happens exactly once, because it commits in the transaction that moves the position. If an event fails,
//! its plan is retried by the subscription's policy, and the event becomes a dead letter that an operator redrives or skips;
//! all other plans continue.
//!
//! # A handler
//! 1. Implement [`LedgerEffect`] for an effect in the ledger's Postgres, or [`ExternalEffect`] for any other. An external
//!    effect is called at least once per event; [`Delivery::key`] is the idempotency key to recognise a repetition by.
//! 2. Describe the subscription by a [`SubscriptionSpec`]: its name, event types, tenants, start and retry policy.
//! 3. Call [`run`]. Any number of processes may run the same subscription: they share its partitions by leases.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, Resources, Settings, SubscriptionSpec, run};
//! use sealbus_core::names::Subscription;
//! use tokio_util::sync::CancellationToken;
//!
//! struct Printer;
//!
//! #[async_trait::async_trait]
//! impl ExternalEffect for Printer {
//!     async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
//!         for delivery in batch {
//!             println!("{}: {}", delivery.key(), delivery.record.header.event_type);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! async fn consume(
//!     resources: Resources,
//!     settings: Settings,
//!     shutdown: CancellationToken,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let printer = SubscriptionSpec::new(Subscription::parse("printer")?);
//!     let handler = Handler::External(Arc::new(Printer));
//!     Ok(run(vec![(printer, handler)], resources, settings, shutdown).await?)
//! }
//! ```
//!
//! # How it works
//! The stream delivers events fast; the ledger guarantees that none is lost.
//!
//! 1. `runtime` creates the subscriptions, takes leases on their partitions, and starts a worker for each assignment: one
//!    subscription in one partition.
//! 2. `intake` pulls messages and decides what each of them is (`Received`). Seals are checked in `seals`.
//! 3. `runtime::worker` keeps messages in memory by plan (`plan::slots`) and gives each plan one task at a time.
//! 4. `plan::gather` puts a plan's events in order by a pure rule (`Decision` in `plan::order`) and reads missing
//!    predecessors from the ledger.
//! 5. `plan::effect` runs the handler in the transaction that moves the position, and retries it (`BatchOutcome`);
//!    `plan::group` does so for several plans in one transaction. `plan::retries` decides between a retry in memory, parking
//!    and a dead letter.
//! 6. `plan::process` ties these steps together, and `plan::actor` sets a plan aside that cannot go on. The worker learns
//!    what to do next (`PlanOutcome`): acknowledge the messages that the position covers, or repeat the task.
//! 7. `sweep::due` finds plans that were set aside and are due, which `plan::process` replays from the ledger.
//!    `sweep::walk` finds in the log what the stream lost.
//!
//! A message is acknowledged only once the durable position covers its event. The rules are those of
//! docs/spec/protocol.md, section Consume.

mod assignment;
mod handler;
mod intake;
mod metrics;
mod plan;
mod runtime;
mod seals;
mod settings;
mod subscription;
mod sweep;

pub use crate::handler::{Delivery, ExternalEffect, Handler, HandlerError, IdempotencyKey, LedgerEffect};
pub use crate::metrics::Metrics;
pub use crate::runtime::{ConsumerError, Resources, run};
pub use crate::settings::Settings;
pub use crate::subscription::{Interest, Parallelism, SubscriptionSpec, Tenants};
