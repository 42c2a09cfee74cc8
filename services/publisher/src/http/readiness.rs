//! What makes a publisher ready: its database, with the migration that it was built or told to expect. Not the broker,
//! which is only told of: what is published while it is away waits in the outbox.

use std::sync::Arc;
use std::time::Duration;

use sealbus_ledger::Ledger;
use sealbus_runtime::admin::Health;
use tokio_util::sync::CancellationToken;

use crate::publish::hints::BrokerLink;

/// A publisher's checks: `database`, `migration` and, told only, `broker`. `limit` is what one may take; from when
/// `shutdown` fires the publisher is not ready.
pub fn health(
    ledger: &Ledger,
    broker: &Arc<BrokerLink>,
    expected_migration: i64,
    limit: Duration,
    shutdown: CancellationToken,
) -> Health {
    let (pinged, migrated, broker) = (ledger.clone(), ledger.clone(), Arc::clone(broker));
    Health::new(limit, shutdown)
        .needs("database", move || {
            let ledger = pinged.clone();
            async move { ledger.ping().await.map_err(|_| "away".to_owned()) }
        })
        .needs("migration", move || {
            let ledger = migrated.clone();
            async move { sealbus_ledger::check_migration(&ledger, expected_migration).await }
        })
        .mentions("broker", move || {
            let connected = broker.is_connected();
            async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
        })
}
