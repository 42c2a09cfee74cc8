//! The settings of the consumer runtime.

use sealbus_consumer::{Settings as ConsumerSettings, Tuning};
use sealbus_runtime::settings::{Settings, table};

use super::buffer_size;
use crate::failure::Failure;

/// Returns the settings of the consumer runtime. The process may take its shutdown grace period; the runtime gets half of it.
pub(crate) fn consumer_settings(settings: &Settings) -> Result<ConsumerSettings, Failure> {
    let queued_messages_per_plan = usize::try_from(settings.get(table::PLAN_QUEUE));
    Ok(ConsumerSettings {
        sweep_interval: settings.get(table::SWEEP_INTERVAL),
        sweep_min_age: settings.get(table::SWEEP_AGE),
        replay_interval: settings.get(table::REPLAY_INTERVAL),
        ack_wait: settings.get(table::ACK_WAIT),
        progress_interval: settings.get(table::PROGRESS_INTERVAL),
        handler_timeout: settings.get(table::HANDLER_TIMEOUT),
        queued_messages_per_plan: queued_messages_per_plan.expect("the table allows at most 10,000"),
        queued_bytes_per_tenant: buffer_size(settings.get(table::TENANT_QUEUE))?,
        lease_duration: settings.get(table::LEASE),
        lease_renew_interval: settings.get(table::LEASE_RENEW_INTERVAL),
        prune_interval: settings.get(table::PRUNE_INTERVAL),
        prune_min_idle: settings.get(table::PRUNE_IDLE),
        shutdown_grace: settings.get(table::SHUTDOWN_GRACE) / 2,
        tuning: Tuning::default(),
    })
}
