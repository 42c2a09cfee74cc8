//! Strings of canonical texts: their escapes, and the order of names.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Compares two names by their UTF-16 code units.
///
/// The order is that of the UTF-8 bytes, with one exception: U+E000–FFFF (first bytes EE and EF) come after the characters
/// beyond U+FFFF (first bytes F0 to F4), which are surrogates in UTF-16.
pub(super) fn utf16_order(one: &str, other: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xee | 0xef) { byte + 0x10 } else { byte };
    one.bytes().map(rank).cmp(other.bytes().map(rank))
}

pub(super) fn write_string(text: &mut String, string: &str) {
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

/// Returns the length of the string at the beginning of a canonical text, with its quotes.
pub(super) fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        at += plain_run(&bytes[at..]);
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
}

/// Returns the string whose canonical text, with its quotes, is `text`.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    let inner = &text[1..text.len() - 1];
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut string = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        string.push_str(plain);
        let length = match escape.as_bytes()[0] {
            b'b' => push(&mut string, '\u{8}'),
            b't' => push(&mut string, '\t'),
            b'n' => push(&mut string, '\n'),
            b'f' => push(&mut string, '\u{c}'),
            b'r' => push(&mut string, '\r'),
            b'u' => {
                let control = u8::from_str_radix(&escape[3..5], 16).expect("an escape of a canonical text is \\u00XX");
                string.push(char::from(control));
                5
            }
            // A quote or a backslash.
            itself => push(&mut string, char::from(itself)),
        };
        rest = &escape[length..];
    }
    string.push_str(rest);
    Cow::Owned(string)
}

/// Adds a character that has an escape of one letter. Returns the length of that letter.
fn push(string: &mut String, character: char) -> usize {
    string.push(character);
    1
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
