//! Numbers: which are taken, how RFC 8785 spells them, and when two spellings are one decimal.

use std::cmp::min;
use std::fmt::Write as _;

use serde_json::Number;

use super::Refusal;

/// 2^53 − 1: the largest integer all of whose smaller ones are doubles too.
const MAX_INTEGER: i64 = (1 << 53) - 1;
const MAX_INTEGER_DOUBLE: f64 = 9_007_199_254_740_991.0;
/// From here on RFC 8785 spells with an exponent.
const FIRST_WITH_EXPONENT: f64 = 1e21;

/// A number's spelling at the front of a text.
pub(super) struct Spelling {
    pub(super) length: usize,
    pub(super) digits_only: bool,
}

/// The number at the front of `bytes`, by RFC 8259's grammar. The error is the offset of the first byte that breaks it.
pub(super) fn scan(bytes: &[u8]) -> Result<Spelling, usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match digits(at) {
        0 => return Err(at),
        // A leading zero stands alone.
        count if count > 1 && bytes[at] == b'0' => return Err(at + 1),
        count => at += count,
    }
    let mut digits_only = true;
    if bytes.get(at) == Some(&b'.') {
        digits_only = false;
        match digits(at + 1) {
            0 => return Err(at + 1),
            count => at += 1 + count,
        }
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        digits_only = false;
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        match digits(at) {
            0 => return Err(at),
            count => at += count,
        }
    }
    Ok(Spelling { length: at, digits_only })
}

/// The number that strict JSON takes this spelling for: the nearest double.
///
/// Whole numbers come out as integers, `1.0` and `10e-1` too, since that is what their canonical text reads as. Refused: what
/// is beyond ±(2^53−1) and digits only, as spelled or as RFC 8785 would spell it; what rounds to infinity.
pub(super) fn strict(text: &str, digits_only: bool) -> Result<Number, Refusal> {
    if digits_only {
        // A sign and 16 digits at most: more are beyond 2^53, as no leading zero is taken.
        let integer = if text.len() <= 17 { text.parse::<i64>().ok() } else { None };
        return integer.filter(|integer| integer.abs() <= MAX_INTEGER).map(Number::from).ok_or(Refusal::IntegerRange);
    }
    let double = nearest(text)?;
    if double.abs() > MAX_INTEGER_DOUBLE && double.abs() < FIRST_WITH_EXPONENT {
        return Err(Refusal::IntegerRange);
    }
    Ok(number(double))
}

/// The number of a text of which only whole ones of up to 19 characters are of use: those as they are spelled, whatever is
/// sealed of them; all others as fractions, however large.
pub(super) fn whole(text: &str, digits_only: bool) -> Result<Number, Refusal> {
    let short = digits_only && text.len() < 20;
    let integer =
        if text.starts_with('-') { text.parse().ok().map(i64::into) } else { text.parse().ok().map(u64::into) };
    let fraction = || text.parse().ok().map(|number: f64| number.clamp(f64::MIN, f64::MAX)).and_then(Number::from_f64);
    integer.filter(|_| short).or_else(fraction).ok_or(Refusal::Syntax)
}

/// The number of a stored spelling, if its decimal is that of the canonical spelling: otherwise a number could be moved
/// within its double.
pub(super) fn stored(text: &str, _digits_only: bool) -> Result<Number, Refusal> {
    let number = number(nearest(text)?);
    let mut canonical = String::new();
    write_number(&mut canonical, &number);
    if Decimal::of(text) == Decimal::of(&canonical) { Ok(number) } else { Err(Refusal::NumberRange) }
}

/// A number as ECMAScript spells it, which for integers that a double holds is their digits.
pub(super) fn write_number(text: &mut String, number: &Number) {
    if let Some(integer) = number.as_i64().filter(|integer| (-MAX_INTEGER..=MAX_INTEGER).contains(integer)) {
        return write!(text, "{integer}").expect("a String takes all that is written");
    }
    let double = number.as_f64().expect("serde_json's numbers are i64, u64 or a finite f64");
    text.push_str(ryu_js::Buffer::new().format_finite(double));
}

fn nearest(text: &str) -> Result<f64, Refusal> {
    let double: f64 = text.parse().expect("JSON's numbers are among those that Rust reads");
    if double.is_finite() { Ok(double) } else { Err(Refusal::NumberRange) }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a whole double within 2^53 is an i64; −0 becomes 0, as RFC 8785 has it"
)]
fn number(double: f64) -> Number {
    if double.fract() == 0.0 && double.abs() <= MAX_INTEGER_DOUBLE {
        return Number::from(double as i64);
    }
    Number::from_f64(double).expect("nearest() gives finite doubles")
}

/// A decimal in its one form: 0.`digits` × 10^`exponent`, no zero at either end of the digits; zero has none.
#[derive(PartialEq, Eq, Debug)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// The decimal that a JSON number spells.
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
        let point = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let exponent = whole_exponent(exponent).saturating_add(point(whole.len()) - point(leading));
        Self { negative, digits, exponent }
    }
}

/// The exponent, or the end of i64 on its side: no text is long enough for the difference to matter.
fn whole_exponent(text: &str) -> i64 {
    let end = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(end)
}
