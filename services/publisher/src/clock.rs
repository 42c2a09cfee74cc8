//! The one place where this service asks for the time and for fresh ids.

use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

/// The time of day, for dates in tokens. What an event records is the database's time, not this.
pub fn now() -> Timestamp {
    Timestamp::from_offset(std::time::SystemTime::now().into())
}

/// An id for an event that comes without one.
pub fn fresh_id() -> Uuid {
    Uuid::now_v7()
}
