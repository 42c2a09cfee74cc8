//! Appending to the ledger.

use std::collections::HashSet;

use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::{AppendSettings, Appender};
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;

/// Runs `work` with an appender, and deregisters the appender afterwards, also if `work` fails.
///
/// An appender that is not deregistered counts as a live signer of its key until its lease expires.
pub(crate) async fn with_appender<T, E>(
    ledger: &Ledger,
    keyring: &Keyring,
    settings: &Settings,
    work: impl AsyncFnOnce(&Appender) -> Result<T, E>,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let appender = Appender::start(ledger, keyring, &append_settings(settings), None)?;
    let outcome = work(&appender).await;
    appender.deregister().await;
    Ok(outcome?)
}

/// Returns how events are appended, by a publisher and by a command alike: whether a new plan carries scheme v1 must not
/// depend on who appends its first event.
pub(crate) fn append_settings(settings: &Settings) -> AppendSettings {
    AppendSettings {
        batchers: settings.get(table::BATCHERS) as usize,
        max_batch_events: settings.get(table::MAX_BATCH_EVENTS) as usize,
        max_batch_plans: settings.get(table::MAX_BATCH_PLANS) as usize,
        max_waiting_events: settings.get(table::WAITING_EVENTS) as usize,
        lock_timeout: settings.get(table::LOCK_TIMEOUT),
        v1_tenants: settings.find(table::V1_TENANTS).map(HashSet::from_iter).unwrap_or_default(),
        lease_duration: settings.get(table::LEASE),
        lease_renew_interval: settings.get(table::LEASE_RENEW_INTERVAL),
    }
}
