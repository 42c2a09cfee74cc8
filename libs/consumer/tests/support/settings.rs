//! The settings of the consumer runtime in tests, here and in the dispatcher.

use std::time::Duration;

use sealbus_consumer::Settings;
use sealbus_runtime::settings::Settings as ProcessSettings;

/// Returns intervals that are short enough for a test. The sweep ignores leaves that are younger than an hour.
pub(crate) fn settings() -> Settings {
    Settings {
        sweep_interval: Duration::from_millis(50),
        sweep_min_age: Duration::from_hours(1),
        replay_interval: Duration::from_millis(20),
        ack_wait: Duration::from_secs(2),
        progress_interval: Duration::from_millis(500),
        lease_duration: Duration::from_secs(2),
        lease_renew_interval: Duration::from_millis(300),
        shutdown_grace: Duration::from_secs(10),
        measure_interval: Duration::from_millis(100),
        unreachable_pause: Duration::from_millis(50),
        missing_event_pause: Duration::from_millis(50),
        ..Settings::from(&ProcessSettings::load([]).unwrap())
    }
}

/// Returns the same settings, with a sweep that sees every leaf at once.
pub(crate) fn sweeping() -> Settings {
    Settings { sweep_min_age: Duration::ZERO, ..settings() }
}
