//! The intervals and limits of the runtime.

use std::time::Duration;

use sealbus_ledger::delivery::positions::Retention;
use sealbus_runtime::settings::{Settings as ProcessSettings, table};

/// How a process works on its subscriptions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The interval between two sweeps over the log.
    pub sweep_interval: Duration,
    /// The age below which the sweep leaves a leaf to the stream.
    pub sweep_min_age: Duration,
    /// The interval between two searches for positions that are due for replay.
    pub replay_interval: Duration,
    /// How long the broker waits for an acknowledgement before it delivers a message again.
    pub ack_wait: Duration,
    /// The interval between two progress reports for messages in memory; well under `ack_wait`.
    pub progress_interval: Duration,
    /// How long one call of a handler may take before it counts as failed.
    pub handler_timeout: Duration,
    /// The most messages in memory for one plan; a plan with more is deferred.
    pub queued_messages_per_plan: usize,
    /// The most bytes in memory for one tenant in one assignment; with more, the tenant's plans are deferred. Nothing
    /// is pulled while an assignment has four times as much.
    pub queued_bytes_per_tenant: usize,
    /// How long a lease lasts after its last renewal.
    pub lease_duration: Duration,
    /// The interval between two renewals of the leases; well under `lease_duration`.
    pub lease_renew_interval: Duration,
    /// The interval between two prunings of idle positions.
    pub prune_interval: Duration,
    /// How long idle positions and the attempts at applied events are kept.
    pub retention: Retention,
    /// How long work in flight may take to end at shutdown.
    pub shutdown_grace: Duration,
    /// The interval in which floors are compared, and how much older than `sweep_min_age` a leaf above a floor has to be for an
    /// alarm.
    pub floor_alarm_age: Duration,
    /// The interval in which positions are counted for the metrics.
    pub measure_interval: Duration,
    /// The longest that failed attempts at one event in memory, and the pauses after them, may take in all; before a pause
    /// that would exceed it the plan is parked.
    pub retry_budget: Duration,
    /// How long a plan is postponed when the ledger is unreachable.
    pub unreachable_pause: Duration,
    /// How long a plan is parked when the ledger lacks its next event, or has one whose seal does not hold.
    pub missing_event_pause: Duration,
}

impl From<&ProcessSettings> for Settings {
    /// Returns the settings of the runtime in a process with these settings.
    ///
    /// The runtime gets a third of the process's shutdown grace period, so that a process with a call that hangs ends well within
    /// the grace period: in less than 10 s by default. `floor_alarm_age`, `measure_interval`, `retry_budget`, `unreachable_pause` and `missing_event_pause` have no
    /// setting.
    fn from(settings: &ProcessSettings) -> Self {
        let queued_messages_per_plan = usize::try_from(settings.get(table::PLAN_QUEUE));
        let queued_bytes_per_tenant = usize::try_from(settings.get(table::TENANT_QUEUE).bytes());
        Self {
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
            retention: Retention {
                idle_positions: settings.get(table::PRUNE_IDLE),
                attempts: settings.get(table::ATTEMPT_RETENTION),
            },
            shutdown_grace: settings.get(table::SHUTDOWN_GRACE) / 3,
            floor_alarm_age: Duration::from_mins(1),
            measure_interval: Duration::from_secs(15),
            retry_budget: Duration::from_secs(1),
            unreachable_pause: Duration::from_secs(1),
            missing_event_pause: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_table_are_taken() {
        let settings = ProcessSettings::load([]).expect("every setting has a default or is optional");
        let settings = Settings::from(&settings);
        assert_eq!(settings.queued_bytes_per_tenant, 4 << 20);
        assert_eq!(settings.queued_messages_per_plan, 64);
    }
}
