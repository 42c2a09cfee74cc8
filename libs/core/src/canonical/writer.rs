//! The canonical form of RFC 8785, written in one pass.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::number::write_number;

/// Returns the canonical text of a value by RFC 8785.
///
/// [`super::read`] accepts the text if it returned the value, or if the value was built from such values, strings without
/// U+0000 and integers within ±(2^53−1). A larger integer is written as the nearest double, since RFC 8785 has no other
/// numbers.
pub fn write(value: &Value) -> String {
    let mut text = String::with_capacity(256);
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(text, number),
        Value::String(string) => write_string(text, string),
        Value::Array(parts) => {
            text.push('[');
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, part);
            }
            text.push(']');
        }
        Value::Object(members) => write_object(text, members),
    }
}

/// Writes an object with its members in the order of UTF-16, as RFC 8785 requires.
///
/// A map yields its members in the order of UTF-8, which nearly always is that of UTF-16 too, so the members are sorted only if
/// the order differs. The check is cheap, and it holds whatever order a feature of `serde_json` gives to maps.
fn write_object(text: &mut String, members: &Map<String, Value>) {
    if members.keys().is_sorted_by(|one, other| utf16_order(one, other).is_lt()) {
        return write_members(text, members);
    }
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by(|(one, _), (other, _)| utf16_order(one, other));
    write_members(text, members);
}

fn write_members<'a>(text: &mut String, members: impl IntoIterator<Item = (&'a String, &'a Value)>) {
    text.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write_value(text, value);
    }
    text.push('}');
}

/// Compares two names by their UTF-16 code units.
///
/// The order is that of the UTF-8 bytes, with one exception: U+E000–FFFF (first bytes EE and EF) come after the characters
/// beyond U+FFFF (first bytes F0 to F4), which are surrogates in UTF-16.
fn utf16_order(one: &str, other: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xee | 0xef) { byte + 0x10 } else { byte };
    one.bytes().map(rank).cmp(other.bytes().map(rank))
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    let mut rest = string;
    loop {
        let (plain, special) = rest.split_at(plain_run(rest.as_bytes()));
        text.push_str(plain);
        let Some(byte) = special.bytes().next() else { break };
        write_escape(text, byte);
        rest = &special[1..];
    }
    text.push('"');
}

/// Returns the number of bytes before the first quote, backslash or control character. It examines eight bytes at a time.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    // Sets the top bit of each byte that is zero. Only the lowest bit that is set is reliable.
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, chunk) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let special = quote | backslash | control;
        if special != 0 {
            // At most 63, so the cast loses nothing.
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let tail = words.len() * 8;
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    tail + bytes[tail..].iter().take_while(|byte| is_plain(byte)).count()
}

/// Writes a quote, a backslash or a control character as an escape.
fn write_escape(text: &mut String, byte: u8) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        0x08 => text.push_str("\\b"),
        b'\t' => text.push_str("\\t"),
        b'\n' => text.push_str("\\n"),
        0x0c => text.push_str("\\f"),
        b'\r' => text.push_str("\\r"),
        control => {
            text.push_str(if control < 0x10 { "\\u000" } else { "\\u001" });
            text.push(char::from(b"0123456789abcdef"[usize::from(control & 0xf)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_compare_as_in_utf_16(one in name(), other in name()) {
            prop_assert_eq!(utf16_order(&one, &other), one.encode_utf16().cmp(other.encode_utf16()));
        }
    }

    /// Mostly consists of characters at the places where the two orders differ.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[a\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,4}", ".{0,6}"]
    }
}
