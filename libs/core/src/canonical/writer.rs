//! The canonical form of a tree.

use serde_json::{Map, Value};

use super::escape::{utf16_order, write_string};
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
