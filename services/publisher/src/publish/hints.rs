//! Hints: committed events, offered to the relays over the broker, so that they need not wait for their next sweep.
//!
//! Publishing never waits for the broker. It is connected to in the background, for as long as it takes; a hint that finds
//! no connection is dropped, since the outbox has the event.

use std::sync::OnceLock;
use std::time::Duration;

use sealbus_broker::{Broker, BrokerConfig};
use sealbus_core::error_chain;
use sealbus_ledger::append::Hint;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Between attempts to connect for the first time; a connection that breaks later comes back by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The publisher's connection to the broker, once there is one.
#[derive(Default)]
pub struct BrokerLink {
    broker: OnceLock<Broker>,
}

impl BrokerLink {
    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.broker.get().is_some_and(Broker::is_connected)
    }

    /// Takes hints from the appender and offers them, connecting first. Ends when the appender does, or at shutdown.
    pub async fn run(
        &self,
        config: BrokerConfig,
        mut hints: mpsc::Receiver<Vec<Hint>>,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) {
        let connecting = self.connect(config);
        tokio::pin!(connecting);
        let mut connected = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = &mut connecting, if !connected => connected = true,
                batch = hints.recv() => match batch {
                    Some(batch) => self.offer(&batch, &metrics),
                    None => break,
                },
            }
        }
        if let Some(broker) = self.broker.get() {
            broker.close().await;
        }
    }

    fn offer(&self, batch: &[Hint], metrics: &Metrics) {
        let Some(broker) = self.broker.get() else { return };
        for hint in batch {
            broker.hint(hint.partition, hint.outbox_id, &hint.record);
        }
        metrics.hints.inc_by(batch.len() as u64);
    }

    async fn connect(&self, config: BrokerConfig) {
        let mut told = false;
        loop {
            match Broker::connect(config.clone()).await {
                Ok(broker) => {
                    // Nobody else sets it.
                    let _ = self.broker.set(broker);
                    return;
                }
                Err(error) if told => tracing::debug!(error = error_chain(&error), "the broker is still away"),
                Err(error) => {
                    told = true;
                    tracing::warn!(
                        error = error_chain(&error),
                        "the broker is away; publishing goes on, and the outbox grows"
                    );
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
