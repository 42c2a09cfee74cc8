//! Properties of the strict reader: each value has one canonical form, other readers read accepted texts the same, and
//! no input causes a panic.

use std::fmt::Write as _;

use proptest::prelude::*;
use sealbus_core::canonical::{self, Limits, Refusal, Refused};
use sealbus_core::hash::Hash;
use serde_json::{Number, Value, json};

use crate::common::json;

fn read(text: &str) -> Result<Value, Refused> {
    canonical::read(text.as_bytes(), Limits::PAYLOAD)
}

/// Generates any JSON value that the strict reader can return.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Number::from),
        (-1000..1000_i64).prop_map(Number::from),
        any::<f64>().prop_filter_map("accepted", |double| {
            let whole = double.fract() == 0.0 && double.abs() < 1e21;
            (double.is_finite() && !whole).then(|| Number::from_f64(double).unwrap())
        }),
    ];
    let text = prop_oneof!["[a-c]{0,2}", "\\PC{0,12}", "[\\x01-\\x7f\"\\\\é😀\u{2028}]{0,20}"];
    json::value(number, text)
}

/// Writes the value with another order of members, white space and escapes. `turns` decides which.
fn spelled(value: &Value, turns: &[u8]) -> String {
    let mut out = String::new();
    spell(value, &mut turns.iter().copied().cycle(), &mut out);
    out
}

fn spell(value: &Value, turns: &mut impl Iterator<Item = u8>, out: &mut String) {
    let mut turn = |of: u8| turns.next().unwrap_or(0) % of;
    out.push_str([" ", "\n", "\t ", "", "", ""][usize::from(turn(6))]);
    match value {
        Value::String(text) => {
            out.push('"');
            for character in text.chars() {
                if turn(4) == 0 || character < ' ' || matches!(character, '"' | '\\') {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let written =
                            if turn(2) == 0 { write!(out, "\\u{unit:04x}") } else { write!(out, "\\u{unit:04X}") };
                        written.unwrap();
                    }
                } else {
                    out.push(character);
                }
            }
            out.push('"');
        }
        Value::Array(parts) => {
            out.push('[');
            for (index, part) in parts.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(part, turns, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let first = usize::from(turn(255)) % members.len().max(1);
            members.rotate_left(first);
            out.push('{');
            for (index, (name, part)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(&Value::String(name.clone()), turns, out);
                out.push(':');
                spell(part, turns, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
    out.push_str(["", "\r", " "][usize::from(turns.next().unwrap_or(0) % 3)]);
}

/// Converts whole doubles to integers, as the strict reader does.
#[expect(clippy::cast_possible_truncation, reason = "only doubles within 2^53 are cast")]
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < 9e15 => json!(double as i64),
            _ => Value::Number(number),
        },
        Value::Array(parts) => parts.into_iter().map(with_whole_numbers).collect(),
        Value::Object(members) => members.into_iter().map(|(name, part)| (name, with_whole_numbers(part))).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn one_value_has_one_canonical_text(value in value(), turns in prop::collection::vec(any::<u8>(), 0..400)) {
        let canonical = canonical::write(&value);
        let text = spelled(&value, &turns);
        for spelling in [&text, &canonical] {
            let again = canonical::canonicalise(spelling.as_bytes(), Limits::PAYLOAD);
            prop_assert_eq!(again, Ok(canonical.clone()), "{}", spelling);
        }
        prop_assert_eq!(read(&canonical), Ok(value));
        prop_assert!(canonical::stored_matches(&text, &Hash::of(canonical.as_bytes())));
    }

    #[test]
    fn serde_json_reads_accepted_texts_the_same(
        value in value(),
        turns in prop::collection::vec(any::<u8>(), 0..100),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[]\\[{}\",:0-9eE.+\\-\\\\u \\x00tfna]{0,2}"), 0..4),
    ) {
        let mut text = spelled(&value, &turns);
        for (place, edit) in edits {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            let place = *place.get(&places);
            let end = place + text[place..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(place..end, &edit);
            if text.is_empty() {
                return Ok(());
            }
        }
        if let Ok(accepted) = read(&text) {
            prop_assert_eq!(Some(accepted), serde_json::from_str(&text).ok().map(with_whole_numbers), "{}", text);
        }
    }

    #[test]
    fn no_input_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[]\\[{}\",:0-9eE.\\-\\\\ud8cDC \\x00-\\x1f]{0,40}") {
        let _ = canonical::read(&bytes, Limits::PAYLOAD);
        let _ = canonical::canonicalise(text.as_bytes(), Limits::PAYLOAD);
        let _ = canonical::stored_matches(&text, &Hash::of(b""));
    }

    #[test]
    fn numbers_are_rounded_like_std(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
        let nearest: f64 = text.parse().unwrap();
        match read(&text) {
            Ok(number) => prop_assert!(number.as_f64().is_some_and(|number| number.total_cmp(&(nearest + 0.0)).is_eq())),
            Err(refused) if refused.refusal == Refusal::NumberRange => prop_assert!(nearest.is_infinite()),
            Err(refused) => {
                prop_assert_eq!(refused.refusal, Refusal::IntegerRange);
                prop_assert!(nearest.abs() > 9_007_199_254_740_991.0);
            }
        }
    }
}
