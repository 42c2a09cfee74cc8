//! The settings of the consumer runtime in tests, here and in the dispatcher.

use std::time::Duration;

use sealbus_consumer::{Settings, Tuning};

/// Returns intervals that are short enough for a test. The sweep ignores leaves that are younger than an hour.
pub(crate) fn settings() -> Settings {
    Settings {
        sweep_interval: Duration::from_millis(50),
        sweep_min_age: Duration::from_hours(1),
        replay_interval: Duration::from_millis(20),
        ack_wait: Duration::from_secs(2),
        progress_interval: Duration::from_millis(500),
        handler_timeout: Duration::from_secs(30),
        queued_messages_per_plan: 64,
        queued_bytes_per_tenant: 4 << 20,
        lease_duration: Duration::from_secs(2),
        lease_renew_interval: Duration::from_millis(300),
        prune_interval: Duration::from_hours(1),
        prune_min_idle: Duration::from_hours(24),
        shutdown_grace: Duration::from_secs(10),
        tuning: Tuning {
            unreachable_pause: Duration::from_millis(50),
            missing_event_pause: Duration::from_millis(50),
            ..Tuning::default()
        },
    }
}

/// Returns the same settings, with a sweep that sees every leaf at once.
pub(crate) fn sweeping() -> Settings {
    Settings { sweep_min_age: Duration::ZERO, ..settings() }
}
