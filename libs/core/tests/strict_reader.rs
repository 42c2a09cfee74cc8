//! Trying to break the strict reader: what it takes, what it refuses, and where it says that the fault is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use proptest::prelude::*;
use sealbus_core::{
    canonical::{self, Limits, MAX_DEPTH, Refusal, Refused},
    hash::Hash,
};
use serde_json::{Number, Value, json};

fn read(text: &str) -> Result<Value, Refused> {
    canonical::read(text.as_bytes(), Limits::PAYLOAD)
}

fn refusal(text: &str) -> Refusal {
    read(text).expect_err(text).refusal
}

#[test]
fn numbers_at_the_edges() {
    for (text, expected) in [
        ("-0", json!(0)),
        ("-0.0e-0", json!(0)),
        ("1E+2", json!(100)),
        ("1e0000000000000000000000002", json!(100)),
        ("9007199254740991", json!(9_007_199_254_740_991_i64)),
        ("-9007199254740991", json!(-9_007_199_254_740_991_i64)),
        ("9007199254740991.4", json!(9_007_199_254_740_991_i64)),
        ("900719925474099.1e1", json!(9_007_199_254_740_991_i64)),
        ("1e21", json!(1e21)),
        ("999999999999999999999.0", json!(1e21)),
        ("1000000000000000000000.0", json!(1e21)),
        ("1.7976931348623157e308", json!(f64::MAX)),
        ("1.7976931348623158e308", json!(f64::MAX)),
        ("5e-324", json!(5e-324)),
        ("1e-9999999999999999999999", json!(0)),
        ("0e9999999999999999999999", json!(0)),
        ("0.1", json!(0.1)),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for text in [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740991.5",
        "1e16",
        "99999999999999999",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "99999999999999999999.0",
        "18446744073709551616",
        "9223372036854775808",
        "-9223372036854775809",
        &"9".repeat(100_000),
    ] {
        assert_eq!(refusal(text), Refusal::IntegerRange, "{text}");
    }
    for text in ["1e400", "-1e400", "1.8e308", "1e9999999999999999999999", &format!("{}.5", "9".repeat(400))] {
        assert_eq!(refusal(text), Refusal::NumberRange, "{text}");
    }
    for text in [
        "-",
        "+1",
        "00",
        "01",
        "-01",
        "1.",
        "1.e1",
        ".1",
        "-.1",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "1E+-2",
        "0x10",
        "1_000",
        "١",
        "Infinity",
        "-Infinity",
        "NaN",
        "1f",
        "--1",
        "1-",
        "1 .5",
        "0b1",
    ] {
        assert_eq!(refusal(text), Refusal::Syntax, "{text}");
    }
}

#[test]
fn strings_at_the_edges() {
    let fine = [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\u20AC\uD83D\uDE00""#, "é€😀"),
        ("\"\u{7f}\u{2028}\u{feff}\u{10ffff}\"", "\u{7f}\u{2028}\u{feff}\u{10ffff}"),
        (r#""\uFFFE\udbff\udfff""#, "\u{fffe}\u{10ffff}"),
        (r#""0000""#, "0000"),
        (r#""\\u0000""#, "\\u0000"),
    ];
    for (text, expected) in fine {
        assert_eq!(read(text), Ok(json!(expected)), "{text}");
    }
    for text in [r#""\u0000""#, r#"{"a\u0000":1}"#, r#"{"\u0000":1}"#, r#""aaaaaaaaaaaaaaaa\u0000""#] {
        assert_eq!(refusal(text), Refusal::Nul, "{text}");
    }
    for text in [
        r#""\ud800""#,
        r#""\uDFFF""#,
        r#""\ud800\ud800""#,
        r#""\ud800\u0041""#,
        r#""\ud800x""#,
        r#""\udc00\ud800""#,
        r#"{"\ud83d":1}"#,
        r#""\ud800\n""#,
    ] {
        assert_eq!(refusal(text), Refusal::LoneSurrogate, "{text}");
    }
    for text in [
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\",
        "\"\\u",
        "\"\\u0",
        "\"\\u00",
        "\"\\u004",
        r#""\u004""#,
        r#""\u00g0""#,
        r#""\u+041""#,
        r#""\U0041""#,
        r#""\x41""#,
        r#""\0""#,
        r#""\'""#,
        "\"\n\"",
        "\"\t\"",
        "\"\0\"",
        "\"\u{1f}\"",
        "'a'",
        r#""\u{41}""#,
        "\"aaaaaaaa\u{1}\"",
        "\"\\ud8",
        "\"\\u00é0\"",
    ] {
        assert_eq!(refusal(text), Refusal::Syntax, "{text:?}");
    }
    // A control character at each place of the eight bytes that are looked at in one step.
    for place in 0..24 {
        let (before, behind) = ("é".repeat(place / 2) + &"x".repeat(place % 2), "\u{80}".repeat(9));
        for special in ["\u{0}", "\u{1f}", "\u{1}"] {
            assert_eq!(refusal(&format!("\"{before}{special}{behind}\"")), Refusal::Syntax);
        }
        let text = format!("{before}\"\\{behind}");
        assert_eq!(read(&serde_json::to_string(&text).unwrap()), Ok(json!(text)));
    }
}

#[test]
fn structure_at_the_edges() {
    for text in [
        "",
        " ",
        "\u{feff}1",
        "1\u{feff}",
        "1 1",
        "[1]]",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[,1]",
        "[1,]",
        "[1,,2]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1",
        "{\"a\"",
        "[1}",
        "{\"a\":1]",
        "nul",
        "nulll",
        "True",
        "tru e",
        "true false",
        "/**/1",
        "1//",
        "#1",
        "\u{a0}1",
        "1\u{c}",
        "1\u{b}",
        "[\u{85}1]",
        "undefined",
        "{\"a\":1}{",
        "[1];",
        "\0",
        "1\0",
        "{\"a\"::1}",
        "{\"a\";1}",
        "\"a\":1",
    ] {
        assert_eq!(refusal(text), Refusal::Syntax, "{text:?}");
    }
    assert_eq!(read(" \t\r\n{ \"a\" : [ ] , \"b\":{ } }\r\n"), Ok(json!({"a": [], "b": {}})));
    for (text, pointer) in
        [(r#"{"a":1,"a":1}"#, "/a"), (r#"{"a":1,"\u0061":1}"#, "/a"), (r#"[{"x/~":{"":1,"":2}}]"#, "/0/x~1~0/")]
    {
        let refused = read(text).unwrap_err();
        assert_eq!((refused.refusal, refused.pointer.as_str()), (Refusal::DuplicateKey, pointer), "{text}");
    }
    // Names that only look alike are two names.
    assert!(read("{\"é\":1,\"e\u{301}\":2}").is_ok());
}

#[test]
fn bytes_that_are_no_utf_8() {
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\"\x80\"",
        b"\xff\xfe1\0",
    ] {
        assert_eq!(canonical::read(bytes, Limits::PAYLOAD).unwrap_err().refusal, Refusal::Utf8, "{bytes:x?}");
    }
}

#[test]
fn nesting_ends_at_its_limit_and_never_at_the_stacks() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        let refused = read(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Depth);
        assert_eq!(refused.pointer.matches('/').count(), MAX_DEPTH);
        // Siblings do not add up.
        let siblings = format!("[{0},{0}]", nested(MAX_DEPTH - 1));
        assert!(read(&siblings).is_ok());

        let endless = open.repeat(1_000_000);
        let greedy = Limits { bytes: usize::MAX, depth: usize::MAX };
        assert_eq!(canonical::read(endless.as_bytes(), greedy).unwrap_err().refusal, Refusal::Depth);
        let part = canonical::read(nested(MAX_DEPTH + 1).as_bytes(), greedy).unwrap();
        assert_eq!(canonical::check(&part, Limits::PAYLOAD).unwrap_err().refusal, Refusal::Depth);
        assert_eq!(
            canonical::check(&part, Limits { depth: MAX_DEPTH + 1, ..Limits::PAYLOAD }),
            Ok(nested(MAX_DEPTH + 1))
        );
    }
}

#[test]
fn the_cap_holds_for_the_text_and_for_its_canonical_form() {
    let canonicalise = |text: &str, bytes| canonical::canonicalise(text.as_bytes(), Limits { bytes, depth: MAX_DEPTH });
    assert_eq!(canonicalise("[1e-6]", 10), Ok("[0.000001]".to_owned()));
    assert_eq!(canonicalise("[1e-6]", 9).unwrap_err().refusal, Refusal::Size);
    assert_eq!(canonicalise("[1]    ", 6).unwrap_err().refusal, Refusal::Size);
    assert_eq!(canonical::check(&json!("aaaa"), Limits { bytes: 5, depth: 1 }).unwrap_err().refusal, Refusal::Size);
}

#[test]
fn a_fault_is_placed() {
    for (text, offset, pointer) in [
        (r#"{"a":[1,2,x]}"#, 10, "/a/2"),
        (r#"{"a":{"b":1e400}}"#, 10, "/a/b"),
        (r#"["é", 01]"#, 8, "/1"),
        ("[1] 2", 4, ""),
        (r#"{"a":"\ud800"}"#, 6, "/a"),
    ] {
        let refused = read(text).unwrap_err();
        assert_eq!((refused.offset, refused.pointer.as_str()), (offset, pointer), "{refused}");
    }
    let refused = read(r#"{"a":"\u0000"}"#).unwrap_err();
    assert_eq!(refused.to_string(), "json_nul at byte 6 (/a): no string or name holds U+0000");
}

#[test]
fn stored_text_may_be_respelled_but_not_changed() {
    let sealed = |canonical: &str| Hash::of(canonical.as_bytes());
    let matches = |canonical: &str, stored: &str| canonical::stored_matches(stored, &sealed(canonical));
    for spelling in ["0", "-0", "0.0", "-0e5", "0e99999999999999999999", "0.00e-99999999999999999999"] {
        assert!(matches("0", spelling), "{spelling}");
    }
    for spelling in ["1e-400", "4e-324", "-1", "00", "0 0", "\"0\""] {
        assert!(!matches("0", spelling), "{spelling}");
    }
    for spelling in ["100", "1e2", "1.00e+2", "0.0001e6", "10000e-2", " 100 "] {
        assert!(matches("100", spelling), "{spelling}");
    }
    for spelling in ["100.00000000000000001", "99.999999999999999999", "1e3", "-100"] {
        assert!(!matches("100", spelling), "{spelling}");
    }
    assert!(matches("5e-324", "0.5e-323") && !matches("5e-324", "3e-324"));
    assert!(matches("[1e+300]", &format!("[1{}]", "0".repeat(300))));
    assert!(!matches("[1e+300]", &format!("[1{}1]", "0".repeat(299))));
    // A cast can lengthen a text beyond the cap that it came in under.
    let many = vec!["1e+300"; 30_000].join(",");
    let long = vec![format!("1{}", "0".repeat(300)); 30_000].join(", ");
    assert!(matches(&format!("[{many}]"), &format!("[{long}]")));
    assert!(!matches("{\"a\":1}", "{\"a\":1,\"a\":1}"));
    assert!(!matches("{\"a\":1}", "{\"a\":1}}"));
}

/// Any JSON value that the strict reader can give.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Number::from),
        (-1000..1000_i64).prop_map(Number::from),
        any::<f64>().prop_filter_map("taken", |double| {
            let whole = double.fract() == 0.0 && double.abs() < 1e21;
            (double.is_finite() && !whole).then(|| Number::from_f64(double).unwrap())
        }),
    ];
    let text = prop_oneof!["[a-c]{0,2}", "\\PC{0,12}", "[\\x01-\\x7f\"\\\\é😀\u{2028}]{0,20}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(Value::Number),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// The value in some spelling: members in another order, space, escapes.
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

/// As the strict reader gives numbers: whole doubles as integers.
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
    fn what_is_taken_serde_json_takes_alike(
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
        if let Ok(taken) = read(&text) {
            prop_assert_eq!(Some(taken), serde_json::from_str(&text).ok().map(with_whole_numbers), "{}", text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[]\\[{}\",:0-9eE.\\-\\\\ud8cDC \\x00-\\x1f]{0,40}") {
        let _ = canonical::read(&bytes, Limits::PAYLOAD);
        let _ = canonical::canonicalise(text.as_bytes(), Limits::PAYLOAD);
        let _ = canonical::stored_matches(&text, &Hash::of(b""));
    }

    #[test]
    fn numbers_round_like_std(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
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
