//! The intervals and bounds of the runtime. Defaults are PROTOCOL's; tests shorten them, so that no test sleeps.

use std::time::Duration;

/// How a process works for its subscriptions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two walks of the sweep over the log.
    pub sweep_every: Duration,
    /// Leaves younger than this are left to the stream.
    pub sweep_age: Duration,
    /// Age of the oldest unsealed event from which on the sweep raises an alarm; looked at as often.
    pub sealing_alarm: Duration,
    /// Between two looks for positions that are due for replay.
    pub replay_every: Duration,
    /// How long the broker waits for an answer before it delivers a message again.
    pub ack_wait: Duration,
    /// Messages of one share that may be delivered and not acknowledged.
    pub unacknowledged: i64,
    /// Between two progress acks of messages that are held; well under `ack_wait`.
    pub progress_every: Duration,
    /// Pauses between tries in memory, in all; a longer one parks the plan.
    pub short_retries: Duration,
    /// How long one call of a handler may take before it counts as failed.
    pub handler_timeout: Duration,
    /// How long a plan is put off when the ledger cannot be asked.
    pub away_pause: Duration,
    /// When replay looks again for an event that the ledger lacks, or that fails its seal.
    pub missing_retry: Duration,
    /// The delivery of a message by which its plan is parked before anything runs: the earlier ones may have killed a process.
    pub worn_delivery: u64,
    /// Events queued in memory for one plan; with more, the plan is left behind.
    pub queued_per_plan: usize,
    /// Bytes queued in memory for one tenant in one share; with more, its plans are left behind. Nothing is pulled while a
    /// share has four times as much.
    pub queued_bytes_per_tenant: usize,
    /// Transactions in flight at once in one share.
    pub in_flight: usize,
    /// Plans with an effect elsewhere in flight at once in one share.
    pub outer_in_flight: usize,
    /// Plans that move together in one transaction.
    pub plans_per_transaction: usize,
    /// How long a lease lasts after its holder was last heard of.
    pub lease: Duration,
    /// Between two renewals of the leases.
    pub renew_every: Duration,
    /// Between two prunings of positions at rest.
    pub prune_every: Duration,
    /// How long a position must have been at rest to be pruned.
    pub prune_idle: Duration,
    /// How long work in flight may take to end at shutdown.
    pub shutdown_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(5),
            sweep_age: Duration::from_secs(30),
            sealing_alarm: Duration::from_mins(1),
            replay_every: Duration::from_millis(250),
            ack_wait: Duration::from_secs(10),
            unacknowledged: 512,
            progress_every: Duration::from_secs(4),
            short_retries: Duration::from_secs(1),
            handler_timeout: Duration::from_secs(30),
            away_pause: Duration::from_secs(1),
            missing_retry: Duration::from_secs(30),
            worn_delivery: 4,
            queued_per_plan: 64,
            queued_bytes_per_tenant: 1024 * 1024,
            in_flight: 4,
            outer_in_flight: 16,
            plans_per_transaction: 32,
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            prune_every: Duration::from_hours(1),
            prune_idle: Duration::from_hours(24),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
