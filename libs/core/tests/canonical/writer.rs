//! The canonical writer: examples of RFC 8785, and a comparison with `serde_json_canonicalizer` over all values that
//! `serde_json` can represent.

use proptest::prelude::*;
use sealbus_core::canonical;
use serde_json::{Map, Number, Value, json};

use crate::common::json;

#[test]
fn members_are_ordered_by_utf_16() {
    // RFC 8785, section 3.2.3, and the characters just below and above the surrogates.
    let members =
        ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}", "\u{d7ff}", "\u{ffff}", "", "10"];
    let object: Map<_, _> = members.into_iter().map(|name| (name.to_owned(), json!(0))).collect();
    assert_eq!(
        canonical::write(&json!({ "outer": object })),
        "{\"outer\":{\"\":0,\"\\r\":0,\"1\":0,\"10\":0,\"\u{80}\":0,\"\u{f6}\":0,\"\u{20ac}\":0,\"\u{d7ff}\":0,\
         \"\u{1f600}\":0,\"\u{fb33}\":0,\"\u{ffff}\":0}}"
    );
}

#[test]
fn only_required_escapes_are_written() {
    let controls: String = ('\0'..' ').collect();
    assert_eq!(
        canonical::write(&json!(controls)),
        r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f""#
    );
    assert_eq!(
        canonical::write(&json!({ "\"\\/": "é\"\\/\u{7f}\u{2028}😀" })),
        "{\"\\\"\\\\/\":\"é\\\"\\\\/\u{7f}\u{2028}😀\"}"
    );
}

#[test]
fn numbers_are_spelled_as_ecmascript_does() {
    // RFC 8785, appendix B.
    for (bits, spelling) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(canonical::write(&json!(f64::from_bits(bits))), spelling, "{bits:x}");
    }
    for (integer, spelling) in [
        (json!(9_007_199_254_740_991_i64), "9007199254740991"),
        (json!(-9_007_199_254_740_991_i64), "-9007199254740991"),
        (json!(9_007_199_254_740_993_i64), "9007199254740992"),
        (json!(u64::MAX), "18446744073709552000"),
        (json!(i64::MIN), "-9223372036854776000"),
        (json!(0), "0"),
    ] {
        assert_eq!(canonical::write(&integer), spelling);
    }
}

/// Generates any JSON value that `serde_json` can represent, including those that the strict reader refuses.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        // Random bits make subnormals and large exponents as likely as other numbers.
        any::<u64>().prop_filter_map("finite", |bits| Number::from_f64(f64::from_bits(bits))),
        // Short numbers, around the exponents at which the spelling changes.
        (any::<i16>(), -30..30_i32).prop_filter_map("finite", |(digits, exponent)| {
            Number::from_f64(f64::from(digits) * 10_f64.powi(exponent))
        }),
    ];
    let text = prop_oneof![
        "[a-c]{0,2}",
        "(?s).{0,12}",
        "[\\x00-\\x1f\"\\\\/a\\x7f\u{2028}]{0,20}",
        "[a\u{d7ff}\u{e000}\u{fb33}\u{ffff}\u{10000}\u{1f600}\u{10ffff}]{0,3}",
    ];
    json::value(number, text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn serde_json_canonicalizer_writes_the_same(value in value()) {
        prop_assert_eq!(canonical::write(&value), serde_json_canonicalizer::to_string(&value).unwrap());
    }
}
