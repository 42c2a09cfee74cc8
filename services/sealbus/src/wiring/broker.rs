//! The broker, and the anchors that are kept in it.

use std::sync::Arc;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, BrokerError};
use sealbus_runtime::reconnect::reconnect;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Connects to the broker as `client_name`, retrying until it can be reached or `shutdown` is cancelled.
pub(crate) async fn wait_for_broker(
    settings: &Settings,
    client_name: &str,
    shutdown: &CancellationToken,
) -> Result<Broker, Failure> {
    let url = settings.require(table::NATS_URL)?;
    let timeout = settings.get(table::NATS_TIMEOUT);
    let connect = || Broker::connect(url.expose(), client_name, timeout);
    Ok(reconnect("connecting to the broker", shutdown, BrokerError::is_unreachable, connect).await?)
}

pub(crate) fn topology(settings: &Settings) -> TopologySettings {
    TopologySettings {
        replicas: settings.get(table::STREAM_REPLICAS) as usize,
        max_age: settings.get(table::STREAM_MAX_AGE),
        max_bytes: settings.get(table::STREAM_MAX_BYTES).bytes(),
    }
}

/// Returns the anchors that a sealer writes: the stream of checkpoints, and the file of `SEALBUS_ANCHORS` if it is set.
pub(crate) fn anchors(settings: &Settings, broker: &Broker) -> Vec<Arc<dyn Anchor>> {
    let mut anchors: Vec<Arc<dyn Anchor>> = vec![Arc::new(AnchorStream::new(broker.clone()))];
    anchors.extend(settings.find(table::ANCHORS).map(|path| Arc::new(AnchorFile::new(path)) as Arc<dyn Anchor>));
    anchors
}
