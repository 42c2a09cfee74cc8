//! The system's clock.

use std::time::SystemTime;

use sealbus_core::clock::Clock;
use sealbus_core::timestamp::Timestamp;

/// The system's clock. The time that an event records is the database's, not this one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_offset(SystemTime::now().into())
    }
}
