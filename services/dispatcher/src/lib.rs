//! The dispatcher: delivers events to the sinks of declared subscriptions.
//!
//! A subscriptions file ([`mod@file`]) declares what each subscription wants, where it starts, and its sink
//! ([`sinks`]). The runtime of `sealbus-consumer` delivers the events. Any number of dispatchers may run: they share
//! the work by leases.

pub mod file;
pub mod sinks;

use sealbus_consumer::{ConsumerError, Settings};
pub use sealbus_consumer::{Metrics, Resources};
use tokio_util::sync::CancellationToken;

pub use crate::file::{Declared, FileError};
pub use crate::sinks::{SinkError, SinkSpec};

/// The configuration of a dispatcher.
#[derive(Clone, Debug)]
pub struct Config {
    /// The subscriptions, as read from files.
    pub subscriptions: Vec<Declared>,
    /// The schema of tables that are declared without one. The role needs privileges in it, which it has in
    /// `sealbus_sinks`.
    pub schema: String,
    /// The settings of the consumer runtime.
    pub settings: Settings,
}

/// Reasons why a dispatcher ended before its shutdown was requested.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    /// A sink cannot be prepared.
    #[error("the sink of subscription {subscription} cannot be prepared")]
    Sink {
        /// The subscription.
        subscription: String,
        /// The reason.
        #[source]
        source: SinkError,
    },
    /// The consumer runtime ended.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
}

/// Delivers events to sinks until `shutdown`, then finishes what is in flight.
///
/// # Errors
/// At the start, if a table in the ledger's database neither exists nor can be created. Later, if the consumer runtime
/// itself fails. A sink that fails is not an error: its plans are parked.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), DispatcherError> {
    let mut subscriptions = Vec::with_capacity(config.subscriptions.len());
    for Declared { spec, sink } in config.subscriptions {
        let handler = sink.handler(&resources.ledger, &config.schema, config.settings.handler_timeout).await;
        let handler =
            handler.map_err(|source| DispatcherError::Sink { subscription: spec.name.to_string(), source })?;
        subscriptions.push((spec, handler));
    }
    Ok(sealbus_consumer::run(subscriptions, resources, config.settings, shutdown).await?)
}
