//! The intervals and limits of the runtime.

use std::time::Duration;

/// How a process works on its subscriptions.
///
/// There are no defaults here: they are in the process's table of settings, from which the caller takes the values.
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
    /// How long a position must have been idle to be pruned.
    pub prune_min_idle: Duration,
    /// How long work in flight may take to end at shutdown.
    pub shutdown_grace: Duration,
    /// Values that no process has a setting for.
    pub tuning: Tuning,
}

/// Intervals and limits that no process has a setting for. Their defaults are those of docs/spec/protocol.md, section
/// Consume, where it names them.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The age of the oldest unsealed event from which on the sweep raises an alarm, and the interval of that check.
    pub sealing_alarm_age: Duration,
    /// The longest that the pauses before retries of one event in memory may take in all; before a longer pause the
    /// plan is parked.
    pub retry_pauses: Duration,
    /// How long a plan is postponed when the ledger is unreachable.
    pub unreachable_pause: Duration,
    /// How long a plan is parked when the ledger lacks its next event, or has one whose seal does not hold.
    pub missing_event_pause: Duration,
    /// The delivery of a message from which on its plan is parked before the handler runs, because the earlier
    /// deliveries may have ended a process.
    pub poison_after: u64,
    /// The most transactions of one assignment in flight.
    pub transactions_in_flight: usize,
    /// The most plans of one assignment in flight whose effect is external.
    pub external_plans_in_flight: usize,
    /// The most plans that share a transaction.
    pub plans_per_transaction: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            sealing_alarm_age: Duration::from_mins(1),
            retry_pauses: Duration::from_secs(1),
            unreachable_pause: Duration::from_secs(1),
            missing_event_pause: Duration::from_secs(30),
            poison_after: 4,
            transactions_in_flight: 4,
            external_plans_in_flight: 16,
            plans_per_transaction: 32,
        }
    }
}
