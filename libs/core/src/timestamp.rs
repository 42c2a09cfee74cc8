//! Times in whole microseconds, with one spelling.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime};

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
        read(text.as_bytes()).filter(|timestamp| timestamp.is_sealable()).ok_or(TimestampError)
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

/// Parses `YYYY-MM-DDTHH:MM:SS[.digits](Z|±HH:MM)`.
fn read(text: &[u8]) -> Option<Timestamp> {
    let (date_time, mut rest) = text.split_at_checked(19)?;
    let separators = [date_time[4], date_time[7], date_time[10].to_ascii_uppercase(), date_time[13], date_time[16]];
    if separators != *b"--T::" {
        return None;
    }
    let year = digits(&date_time[..4])?;
    let month = Month::try_from(u8::try_from(digits(&date_time[5..7])?).ok()?).ok()?;
    let day = u8::try_from(digits(&date_time[8..10])?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
    let (hour, minute, second) = (digits(&date_time[11..13])?, digits(&date_time[14..16])?, digits(&date_time[17..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = length.min(6);
        micros = digits(&fraction[..kept])? * 10_i64.pow(u32::try_from(6 - kept).ok()?);
        rest = &fraction[length..];
    }

    let days =
        i64::from(date.to_julian_day() - Date::from_calendar_date(1970, Month::January, 1).ok()?.to_julian_day());
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset_seconds(rest)?;
    Timestamp::from_micros(seconds * MICROS_PER_SECOND + micros)
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    if matches!(text, b"Z" | b"z") {
        return Some(0);
    }
    let [sign, h1, h2, b':', m1, m2] = *text else { return None };
    let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Returns the number that 1 to 6 ASCII digits spell.
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
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
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
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
