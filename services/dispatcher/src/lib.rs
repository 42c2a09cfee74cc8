//! The dispatcher: subscriptions declared in files, and the sinks that they feed.
//!
//! A subscriptions file ([`mod@file`]) says what each subscription wants, from where, and its sink ([`sinks`]); the runtime of
//! `sealbus-consumer` does the rest. Any number of dispatchers may run: they share the work by leases.

pub mod file;
pub mod sinks;

use sealbus_consumer::{ConsumerError, Settings};
pub use sealbus_consumer::{Metrics, Resources};
use tokio_util::sync::CancellationToken;

pub use crate::file::{Declared, FileError};
pub use crate::sinks::{SinkError, SinkSpec};

/// What a dispatcher is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The subscriptions, as read from files.
    pub subscriptions: Vec<Declared>,
    /// The schema of tables whose names say none. Outside of `sealbus_sinks` and `public` the role must have been let in.
    pub schema: String,
    /// Intervals and bounds.
    pub settings: Settings,
}

/// Why a dispatcher ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    /// A sink cannot be made ready.
    #[error("the sink of subscription {subscription} cannot be made ready")]
    Sink {
        /// The subscription.
        subscription: String,
        /// Why.
        #[source]
        source: SinkError,
    },
    /// The runtime ended.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
}

/// Feeds sinks until `shutdown`; then ends what is in flight.
///
/// # Errors
/// At the start, where a table in the ledger's database can neither be found nor made; later where the runtime itself
/// fails. A sink that fails is no error: its plans are parked.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), DispatcherError> {
    let mut subscriptions = Vec::with_capacity(config.subscriptions.len());
    for Declared { spec, sink } in config.subscriptions {
        let handler = sink.handler(&resources.ledger, &config.schema).await;
        let handler =
            handler.map_err(|source| DispatcherError::Sink { subscription: spec.name.to_string(), source })?;
        subscriptions.push((spec, handler));
    }
    Ok(sealbus_consumer::run(subscriptions, resources, config.settings, shutdown).await?)
}
