//! Hints: committed events that are offered to the relays over the broker, so that they need not wait for the next
//! outbox scan.
//!
//! Publishing never waits for the broker. The connection is made in the background and retried without limit. A hint without
//! a connection is dropped, because the outbox holds the event.

use std::sync::OnceLock;
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_core::error_chain;
use sealbus_ledger::append::Hint;
use sealbus_runtime::settings::SecretUrl;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The pause between attempts to connect for the first time. The client itself restores a connection that breaks later.
const CONNECT_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The publisher's connection to the broker. It is empty until the first connection succeeds.
#[derive(Default)]
pub struct BrokerLink {
    broker: OnceLock<Broker>,
}

impl BrokerLink {
    /// Returns whether the broker is connected now.
    pub fn is_connected(&self) -> bool {
        self.broker.get().is_some_and(Broker::is_connected)
    }

    /// Connects to a broker that answers within `timeout`, and sends the hints of the appender, until `shutdown` fires.
    pub(crate) async fn run(
        &self,
        url: &SecretUrl,
        timeout: Duration,
        mut hints: mpsc::Receiver<Vec<Hint>>,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) {
        let sending = async {
            while let Some(batch) = hints.recv().await {
                self.send(&batch, &metrics);
            }
        };
        let running = async { tokio::join!(self.connect(url, timeout), sending) };
        shutdown.run_until_cancelled(running).await;
        if let Some(broker) = self.broker.get() {
            broker.close().await;
        }
    }

    fn send(&self, batch: &[Hint], metrics: &Metrics) {
        let Some(broker) = self.broker.get() else { return };
        for hint in batch {
            broker.hint(hint.partition, hint.outbox_id, &hint.record);
        }
        metrics.hints.inc_by(batch.len() as u64);
    }

    async fn connect(&self, url: &SecretUrl, timeout: Duration) {
        let mut warned = false;
        loop {
            match Broker::connect(url.expose(), "sealbus-publisher", timeout).await {
                Ok(broker) => {
                    // Only this task sets it.
                    let _ = self.broker.set(broker);
                    return;
                }
                Err(error) if warned => tracing::debug!(error = %error_chain(&error), "broker still unreachable"),
                Err(error) => {
                    warned = true;
                    tracing::warn!(
                        error = %error_chain(&error),
                        "broker unreachable; publishing continues, and events wait in the outbox"
                    );
                }
            }
            tokio::time::sleep(CONNECT_RETRY_INTERVAL).await;
        }
    }
}
