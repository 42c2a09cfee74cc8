//! The settings of the consumer runtime.

use sealbus_consumer::{Settings as ConsumerSettings, Tuning};
use sealbus_runtime::settings::{Settings, table};

/// Returns the settings of the consumer runtime for a process with these settings.
///
/// The runtime gets half of the process's shutdown grace period, so that connections can be closed in the other half.
pub fn consumer_settings(settings: &Settings) -> ConsumerSettings {
    let queued_messages_per_plan = usize::try_from(settings.get(table::PLAN_QUEUE));
    let queued_bytes_per_tenant = usize::try_from(settings.get(table::TENANT_QUEUE).bytes());
    ConsumerSettings {
        sweep_interval: settings.get(table::SWEEP_INTERVAL),
        sweep_min_age: settings.get(table::SWEEP_AGE),
        replay_interval: settings.get(table::REPLAY_INTERVAL),
        ack_wait: settings.get(table::ACK_WAIT),
        progress_interval: settings.get(table::PROGRESS_INTERVAL),
        handler_timeout: settings.get(table::HANDLER_TIMEOUT),
        queued_messages_per_plan: queued_messages_per_plan.expect("the table allows at most 10,000 messages"),
        queued_bytes_per_tenant: queued_bytes_per_tenant.expect("the table allows at most 1 GiB"),
        lease_duration: settings.get(table::LEASE),
        lease_renew_interval: settings.get(table::LEASE_RENEW_INTERVAL),
        prune_interval: settings.get(table::PRUNE_INTERVAL),
        prune_min_idle: settings.get(table::PRUNE_IDLE),
        shutdown_grace: settings.get(table::SHUTDOWN_GRACE) / 2,
        tuning: Tuning::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_table_are_taken() {
        let settings = consumer_settings(&Settings::load([]).expect("every setting has a default or is optional"));
        assert_eq!(settings.queued_bytes_per_tenant, 4 << 20);
        assert_eq!(settings.queued_messages_per_plan, 64);
    }
}
