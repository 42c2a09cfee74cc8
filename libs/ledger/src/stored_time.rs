//! A `timestamptz` of a row that may be damaged.

use sealbus_core::timestamp::Timestamp;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};
use time::OffsetDateTime;

/// Microseconds from 1970-01-01 to 2000-01-01, from which Postgres counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A stored time in microseconds since 2000-01-01T00:00:00Z.
///
/// It holds every value that Postgres can store. The driver panics when it reads `infinity`, or a year after 9999, as a type of
/// the `time` crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredTime(i64);

impl StoredTime {
    /// Returns the time, or `None` for `infinity`, `-infinity` and times outside the years −9999 to 9999.
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        // Postgres stores the infinities as the first and the last i64.
        let is_finite = self.0 != i64::MIN && self.0 != i64::MAX;
        Timestamp::from_micros(self.0.checked_add(EPOCH_MICROS).filter(|_| is_finite)?)
    }
}

impl Type<Postgres> for StoredTime {
    fn type_info() -> PgTypeInfo {
        OffsetDateTime::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for StoredTime {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Postgres>>::decode(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_no_timestamp_holds_are_none() {
        let time = |micros| StoredTime(micros).timestamp().map(|time| time.to_string());
        assert_eq!(time(0).as_deref(), Some("2000-01-01T00:00:00.000000Z"));
        assert_eq!(time(-EPOCH_MICROS).as_deref(), Some("1970-01-01T00:00:00.000000Z"));
        for out_of_range in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX, i64::MAX - EPOCH_MICROS] {
            assert_eq!(time(out_of_range), None, "{out_of_range}");
        }
    }
}
