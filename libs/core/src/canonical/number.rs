//! Numbers: reading them strictly, writing them by RFC 8785, and comparing two spellings as decimals.

use std::cmp::min;
use std::fmt::Write as _;

use serde_json::Number;

use super::Refusal;

/// 2^53 − 1. A double represents this and every smaller positive integer exactly.
const MAX_INTEGER: i64 = (1 << 53) - 1;
const MAX_INTEGER_DOUBLE: f64 = 9_007_199_254_740_991.0;
/// From this number on RFC 8785 writes an exponent.
const FIRST_WITH_EXPONENT: f64 = 1e21;

/// Returns the length of the number at the beginning of `bytes`, by the grammar of RFC 8259. The error is the offset of the
/// first byte that breaks the grammar.
pub(super) fn scan(bytes: &[u8]) -> Result<usize, usize> {
    let end_of_digits = |from: usize| {
        let count = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(from) } else { Ok(from + count) }
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = end_of_digits(start)?;
    // A leading zero must be the only digit.
    if bytes[start] == b'0' && end > start + 1 {
        return Err(start + 1);
    }
    if bytes.get(end) == Some(&b'.') {
        end = end_of_digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = end_of_digits(end + 1 + sign)?;
    }
    Ok(end)
}

/// Returns whether a number has neither a fraction nor an exponent.
fn is_digits_only(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// Reads a number strictly: as the nearest double.
///
/// Whole numbers become integers, including `1.0` and `10e-1`, because their canonical text reads as an integer. Refuses a
/// number beyond ±(2^53−1) that consists of digits only, as written or in the spelling of RFC 8785, and a number that rounds
/// to infinity.
pub(super) fn strict(text: &str) -> Result<Number, Refusal> {
    if is_digits_only(text) {
        // A sign and at most 16 digits: longer numbers are beyond 2^53, since leading zeros are refused.
        let integer = if text.len() <= 17 { text.parse::<i64>().ok() } else { None };
        return integer.filter(|integer| integer.abs() <= MAX_INTEGER).map(Number::from).ok_or(Refusal::IntegerRange);
    }
    let double = nearest(text)?;
    if double.abs() > MAX_INTEGER_DOUBLE && double.abs() < FIRST_WITH_EXPONENT {
        return Err(Refusal::IntegerRange);
    }
    Ok(number(double))
}

/// Reads any number, for callers that check numbers themselves. A number of digits only with up to 19 characters becomes an
/// integer; every other number becomes a double, limited to the range of finite doubles.
pub(super) fn whole(text: &str) -> Result<Number, Refusal> {
    let short = is_digits_only(text) && text.len() < 20;
    let integer =
        if text.starts_with('-') { text.parse().ok().map(i64::into) } else { text.parse().ok().map(u64::into) };
    let fraction = || text.parse().ok().map(|number: f64| number.clamp(f64::MIN, f64::MAX)).and_then(Number::from_f64);
    integer.filter(|_| short).or_else(fraction).ok_or(Refusal::Syntax)
}

/// Reads a number of a stored text. Refuses a spelling whose decimal value differs from that of its canonical spelling:
/// otherwise a stored number could be changed to another one that rounds to the same double.
pub(super) fn stored(text: &str) -> Result<Number, Refusal> {
    let number = number(nearest(text)?);
    let mut canonical = String::new();
    write_number(&mut canonical, &number);
    if Decimal::of(text) == Decimal::of(&canonical) { Ok(number) } else { Err(Refusal::NumberRange) }
}

/// Writes a number as ECMAScript does: integers that a double represents exactly by their digits.
pub(super) fn write_number(text: &mut String, number: &Number) {
    if let Some(integer) = number.as_i64().filter(|integer| (-MAX_INTEGER..=MAX_INTEGER).contains(integer)) {
        return write!(text, "{integer}").expect("writing to a String does not fail");
    }
    let double = number.as_f64().expect("serde_json's numbers are i64, u64 or a finite f64");
    text.push_str(ryu_js::Buffer::new().format_finite(double));
}

fn nearest(text: &str) -> Result<f64, Refusal> {
    let double: f64 = text.parse().expect("Rust's float parser accepts every JSON number");
    if double.is_finite() { Ok(double) } else { Err(Refusal::NumberRange) }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an i64 represents every whole double within 2^53; −0 becomes 0, as in RFC 8785"
)]
fn number(double: f64) -> Number {
    if double.fract() == 0.0 && double.abs() <= MAX_INTEGER_DOUBLE {
        return Number::from(double as i64);
    }
    Number::from_f64(double).expect("nearest() returns finite doubles")
}

/// A decimal number in normal form: 0.`digits` × 10^`exponent`, with no zero at either end of `digits`. Zero has no digits.
#[derive(PartialEq, Eq, Debug)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Returns the decimal value of a JSON number.
    fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(kept);
        digits.drain(..min(leading, kept));
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        let point = |count: usize| i64::try_from(count).expect("a text is shorter than 2^63 bytes");
        let exponent = whole_exponent(exponent).saturating_add(point(whole.len()) - point(leading));
        Self { negative, digits, exponent }
    }
}

/// Returns the exponent, or the largest or smallest i64 if it is out of range. No text has enough digits to make up for such
/// an exponent, so the number differs from every number with an exponent in range.
fn whole_exponent(text: &str) -> i64 {
    let end = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(end)
}
