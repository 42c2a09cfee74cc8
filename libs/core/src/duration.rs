//! Durations as text.
//!
//! A duration has one spelling everywhere: in settings, catalog files, subscription files, query parameters and options of
//! commands. It is a whole number followed by a unit, without a space, sign or fraction.
//!
//! | unit | meaning |
//! |---|---|
//! | `us` | microseconds |
//! | `ms` | milliseconds |
//! | `s` | seconds |
//! | `m` | minutes |
//! | `h` | hours |
//! | `d` | days of 24 hours |

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Each unit with its length in microseconds, the longest first.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: give a whole number and a unit (us, ms, s, m, h or d), such as 100ms or 5s")]
pub struct DurationError(String);

/// Reads a duration.
///
/// Refuses any other text, and a duration of 2^64 microseconds (584,542 years) or more.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let refused = || DurationError(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, micros) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    let number: u64 = number.parse().map_err(|_| refused())?;
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(refused)
}

/// Writes a duration with the longest unit that divides it; [`parse`] reads it back. Parts of a microsecond are cut off.
pub fn display(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let divides = |(_, length): &(&str, u64)| micros.is_multiple_of(u128::from(*length));
    let (unit, length) = UNITS.into_iter().find(divides).expect("one microsecond divides every number of them");
    format!("{}{unit}", micros / u128::from(length))
}

/// Reads an optional duration, for `#[serde(deserialize_with = "…")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, duration) in [
            ("250us", Duration::from_micros(250)),
            ("100ms", Duration::from_millis(100)),
            ("5s", Duration::from_secs(5)),
            ("1m", Duration::from_mins(1)),
            ("2h", Duration::from_hours(2)),
            ("1d", Duration::from_hours(24)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Ok(duration), "{text}");
            assert_eq!(display(duration), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "1.5s",
            "5 s",
            " 5s",
            "5s ",
            "5S",
            "5sec",
            "1h30m",
            "99999999999999999999s",
            "٥s",
        ] {
            assert_eq!(parse(text), Err(DurationError(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn durations_of_2_to_the_64_microseconds_are_refused() {
        assert_eq!(parse("18446744073709551615us"), Ok(Duration::from_micros(u64::MAX)));
        for text in ["18446744073709551616us", "18446744073709552ms", "213503983d", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_of_a_microsecond_are_not_written() {
        assert_eq!(display(Duration::from_nanos(1_999)), "1us");
        assert_eq!(display(Duration::from_nanos(999)), "0s");
        assert_eq!(display(Duration::MAX), "18446744073709551615999999us");
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(micros: u64) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&display(duration)), Ok(duration));
        }

        #[test]
        fn a_number_of_a_unit_has_that_many_of_its_length(number in 0..200_000_000_u64, unit in 0..UNITS.len()) {
            let (name, length) = UNITS[unit];
            prop_assert_eq!(parse(&format!("{number}{name}")), Ok(Duration::from_micros(number * length)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
