//! The strict reader: accepted and refused texts at the limits, and the position of faults.

use sealbus_core::canonical::{self, Limits, MAX_DEPTH, Refusal, Refused};
use serde_json::{Value, json};

fn read(text: &str) -> Result<Value, Refused> {
    canonical::read(text.as_bytes(), Limits::PAYLOAD)
}

fn refusal(text: &str) -> Refusal {
    read(text).expect_err(text).refusal
}

#[test]
fn numbers_at_the_limits() {
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
fn strings_at_the_limits() {
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
    // The reader looks at eight bytes in one step: try a control character at each position.
    for place in 0..24 {
        let (before, after) = ("é".repeat(place / 2) + &"x".repeat(place % 2), "\u{80}".repeat(9));
        for special in ["\u{0}", "\u{1f}", "\u{1}"] {
            assert_eq!(refusal(&format!("\"{before}{special}{after}\"")), Refusal::Syntax);
        }
        let text = format!("{before}\"\\{after}");
        assert_eq!(read(&serde_json::to_string(&text).unwrap()), Ok(json!(text)));
    }
}

#[test]
fn structure_at_the_limits() {
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
    // Names that look the same can be different names.
    assert!(read("{\"é\":1,\"e\u{301}\":2}").is_ok());
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
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
fn nesting_is_limited_and_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        let refused = read(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Depth);
        assert_eq!(refused.pointer.matches('/').count(), MAX_DEPTH);
        // The depth of siblings does not add up.
        let siblings = format!("[{0},{0}]", nested(MAX_DEPTH - 1));
        assert!(read(&siblings).is_ok());

        let endless = open.repeat(1_000_000);
        let greedy = Limits { bytes: usize::MAX, depth: usize::MAX };
        assert_eq!(canonical::read(endless.as_bytes(), greedy).unwrap_err().refusal, Refusal::Depth);
    }
}

#[test]
fn the_size_limit_applies_to_the_text_and_to_its_canonical_form() {
    let canonicalise = |text: &str, bytes| canonical::canonicalise(text.as_bytes(), Limits { bytes, depth: MAX_DEPTH });
    assert_eq!(canonicalise("[1e-6]", 10), Ok("[0.000001]".to_owned()));
    assert_eq!(canonicalise("[1e-6]", 9).unwrap_err().refusal, Refusal::Size);
    assert_eq!(canonicalise("[1]    ", 6).unwrap_err().refusal, Refusal::Size);
    for text in ["[]", "{}", "[[]]", "{\"a\":{}}", "\"aaa\"", "null", "-1"] {
        assert_eq!(canonicalise(text, text.len()).as_deref(), Ok(text));
        let refused = canonical::canonicalise(format!("{text} ").as_bytes(), Limits { bytes: text.len(), depth: 9 });
        assert_eq!(refused.unwrap_err().refusal, Refusal::Size, "{text}");
    }
    // The limit is that of the whole text, not of the value that exceeds it.
    let whole = Refused { refusal: Refusal::Size, pointer: String::new(), offset: 22 };
    assert_eq!(canonicalise("{\"a\":[1e15,1]}", 22), Err(whole));
}

#[test]
fn faults_have_an_offset_and_a_pointer() {
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
    assert_eq!(refused.to_string(), "json_nul at byte 6 (/a): strings and names must not contain U+0000");
}
