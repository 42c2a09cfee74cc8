//! Times in whole microseconds, with one spelling.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time in whole microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// It is written as `2026-11-20T10:00:00.000000Z`. The range is that of [`OffsetDateTime`], the years −9999 to 9999. A header
/// can only hold the years 0001 to 9999 ([`Timestamp::is_sealable`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time of the years 0001 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an RFC 3339 time with an offset, such as 2026-11-20T10:00:00.5Z, in the years 0001 to 9999, with seconds 00 to 59"
)]
pub struct TimestampError;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z.
const FIRST_SEALABLE: Timestamp = Timestamp(-62_135_596_800 * MICROS_PER_SECOND);

impl Timestamp {
    /// Parses an RFC 3339 time: `T` and `Z` in either case, any offset. Digits of the fraction after the sixth are cut off.
    ///
    /// Refuses a leap second, a space instead of `T`, a fraction without digits, and a year outside 0001 to 9999 in UTC.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // The parser of the `time` crate also accepts leap seconds, and any character in place of `T`.
        let (separator, second) = (text.as_bytes().get(10), text.as_bytes().get(17..19));
        if !matches!(separator, Some(b'T' | b't')) || second == Some(b"60") {
            return Err(TimestampError);
        }
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let in_range = Self::from_micros(Self::from_offset(moment).micros());
        in_range.filter(|timestamp| timestamp.is_sealable()).ok_or(TimestampError)
    }

    /// Returns the time `micros` microseconds after 1970-01-01T00:00:00Z, or `None` outside the years −9999 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok().map(|_| Self(micros))
    }

    /// Returns the microseconds since 1970-01-01T00:00:00Z; negative for earlier times.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later, without its nanoseconds, or `None` after the year 9999.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        Self::from_micros(self.0.checked_add(micros)?)
    }

    /// Returns whether a header can hold the time: whether it is in the years 0001 to 9999.
    pub fn is_sealable(self) -> bool {
        self >= FIRST_SEALABLE
    }

    /// Returns the same time as a value of the `time` crate, in UTC.
    pub fn to_offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .expect("every Timestamp was an OffsetDateTime or was checked to be one")
    }

    /// Returns the same time without its nanoseconds.
    pub fn from_offset(moment: OffsetDateTime) -> Self {
        Self(moment.unix_timestamp() * MICROS_PER_SECOND + i64::from(moment.microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.to_offset();
        let (date, time) = (at.date(), at.time());
        write!(f, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day())?;
        write!(f, "{:02}:{:02}:{:02}.{:06}Z", time.hour(), time.minute(), time.second(), time.microsecond())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::parse(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_past_the_sixth_are_cut_off_not_rounded() {
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59.9999999Z").unwrap().micros(), -1);
        assert_eq!(Timestamp::parse("1970-01-01T00:00:00.0000009z").unwrap().micros(), 0);
        assert_eq!(Timestamp::parse("1970-01-01t00:00:00.1Z").unwrap().micros(), 100_000);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T05:14:00",
            "2026-11-21 05:14:00Z",
            "2026-11-21_05:14:00Z",
            "2016-12-31T23:59:60Z",
            "2026-11-21T05:14:00.Z",
            "2026-11-21T05:14:00Z ",
            "2026-11-21T05:14:00+5:30",
            "2026-11-21T05:14:00+0530",
            "2026-11-21T05:14:00+24:00",
            "2026-11-21T05:14:00+05:60",
            "2026-11-21T05:14:00 Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T05:14:61Z",
            "2026-11-21T05:60:00Z",
            "-001-01-01T00:00:00Z",
            "2026-11-21T05:14:00.1x",
            "é026-11-21T05:14:00Z",
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "٢٠٢٦-11-21T05:14:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_reads_back(micros in FIRST_SEALABLE.0..=253_402_300_799_999_999) {
            let timestamp = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
            prop_assert_eq!(Timestamp::from_offset(timestamp.to_offset()), timestamp);
            prop_assert_eq!(timestamp.micros(), micros);
        }

        #[test]
        fn an_offset_does_not_change_the_moment(micros in 0..4_000_000_000_000_000_i64, hours in 0..24_i64, minutes in 0..60_i64) {
            let local = Timestamp::from_micros(micros + (hours * 60 + minutes) * 60_000_000).unwrap().to_string();
            let text = format!("{}+{hours:02}:{minutes:02}", local.trim_end_matches('Z'));
            prop_assert_eq!(Timestamp::parse(&text).unwrap().micros(), micros);
        }

        #[test]
        fn nothing_panics(text in "[0-9TZtz:.+-]{0,40}|\\PC{0,40}", micros in any::<i64>()) {
            let _ = Timestamp::parse(&text);
            if let Some(timestamp) = Timestamp::from_micros(micros) {
                let _ = timestamp.to_string();
            }
        }
    }
}
