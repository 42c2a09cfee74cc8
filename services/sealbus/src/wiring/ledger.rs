//! Creating the ledger, opening it, and appending to it.

use std::collections::HashSet;
use std::time::Duration;

use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender};
use sealbus_ledger::{ConnectionSettings, Creation, Ledger, OpenError};
use sealbus_runtime::reconnect::reconnect;
use sealbus_runtime::settings::{Settings, table};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keyring;
use crate::failure::Failure;

/// Connections of a command that verifies: for each worker, and for the checks before and after them.
const CONNECTIONS_PER_WORKER: usize = 2;
/// Time that one statement of such a command may take. Some read a whole table.
const VERIFY_DEADLINE: Duration = Duration::from_hours(1);

/// Creates the ledger of `SEALBUS_ORIGIN` in `SEALBUS_DATABASE_URL`, whose schema has to be migrated. Does nothing if it
/// exists.
pub(crate) async fn create_ledger(settings: &Settings) -> Result<(), Failure> {
    let keyring = keyring(settings)?;
    let url = settings.require(table::DATABASE_URL)?;
    let creation = Creation {
        origin: settings.require(table::ORIGIN)?,
        partitions: settings.get(table::PARTITIONS),
        first_event: Uuid::now_v7(),
        log_id: Uuid::new_v4(),
    };
    Ok(sealbus_ledger::create(url.expose(), &creation, &keyring).await?)
}

/// Opens the ledger for a command: once, without waiting for the database. Refuses a ledger of another origin than
/// `SEALBUS_ORIGIN`, where that is set.
pub(crate) async fn open_ledger(settings: &Settings) -> Result<Ledger, Failure> {
    open_ledger_with(settings, &connections(settings, ConnectionSettings::command)).await
}

/// Opens the ledger as [`open_ledger`] does, for a command that verifies with this number of workers: a statement may take as
/// long as reading a whole table does.
pub(crate) async fn open_ledger_to_verify(settings: &Settings, workers: usize) -> Result<Ledger, Failure> {
    let reads = u32::try_from(CONNECTIONS_PER_WORKER * (workers + 1))
        .map_err(|_| Failure::usage(format!("{workers} processors are too many: give --jobs")))?;
    let connections = ConnectionSettings { appends: 0, reads, background: 1, effects: 0, deadline: VERIFY_DEADLINE };
    open_ledger_with(settings, &connections).await
}

/// Opens the ledger for a command, as [`open_ledger`] does, with these connections.
async fn open_ledger_with(settings: &Settings, connections: &ConnectionSettings) -> Result<Ledger, Failure> {
    let ledger = Ledger::open(settings.require(table::DATABASE_URL)?.expose(), connections).await?;
    check_origin(settings, &ledger)?;
    Ok(ledger)
}

/// Opens the ledger for a role as [`open_ledger`] does, retrying until the database can be reached or `shutdown` is cancelled.
/// Where `SEALBUS_OWNER_DATABASE_URL` is set, it first applies migrations and creates the ledger if it does not exist.
pub(crate) async fn wait_for_ledger(
    settings: &Settings,
    connections: &ConnectionSettings,
    shutdown: &CancellationToken,
) -> Result<Ledger, Failure> {
    let url = settings.require(table::DATABASE_URL)?;
    if let Some(owner) = settings.find(table::OWNER_DATABASE_URL) {
        let migrate = || sealbus_ledger::migrate(owner.expose());
        reconnect("migrating the ledger", shutdown, OpenError::is_unreachable, migrate).await?;
        create_ledger(settings).await?;
    }
    let open = || Ledger::open(url.expose(), connections);
    let ledger = reconnect("opening the ledger", shutdown, OpenError::is_unreachable, open).await?;
    check_origin(settings, &ledger)?;
    Ok(ledger)
}

/// Divides the connections that the settings allow by `divide`, one of the constructors of [`ConnectionSettings`].
pub(crate) fn connections(
    settings: &Settings,
    divide: impl FnOnce(u32, Duration) -> ConnectionSettings,
) -> ConnectionSettings {
    divide(settings.get(table::DATABASE_CONNECTIONS), settings.get(table::DATABASE_TIMEOUT))
}

/// Refuses a ledger of another origin than the configured one, if one is configured.
fn check_origin(settings: &Settings, ledger: &Ledger) -> Result<(), Failure> {
    Ok(settings.find(table::ORIGIN).map_or(Ok(()), |origin| ledger.check_origin(&origin))?)
}

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
    // A command has connections for one batcher.
    let settings = AppendSettings { batchers: 1, ..append_settings(settings) };
    let appender = Appender::start(ledger, keyring, &settings, None)?;
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
        lock_timeout: settings.get(table::LOCK_TIMEOUT),
        v1_tenants: settings.find(table::V1_TENANTS).map(HashSet::from_iter).unwrap_or_default(),
        lease_duration: settings.get(table::LEASE),
        lease_renew_interval: settings.get(table::LEASE_RENEW_INTERVAL),
    }
}
