//! Canonical texts that are read where they are, and texts whose values are read one at a time.

use proptest::prelude::*;
use sealbus_core::canonical::{self, Limits, MAX_DEPTH, Node, Refusal, Refused, Text, ValueLimits, Values};
use serde_json::{Map, Number, Value, json};

use crate::common::json;

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Number::from),
        (-1000..1000_i64).prop_map(Number::from),
        (1..1_000_u32, -30..10_i32)
            .prop_map(|(digits, exponent)| Number::from_f64(f64::from(digits) * 10_f64.powi(exponent)).unwrap()),
    ];
    let text = prop_oneof![
        "[a-c]{0,2}",
        "[\\x01-\\x1f\"\\\\/~a\\x7f{}\\[\\],:\u{2028}]{0,9}",
        "[a\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}",
    ];
    // Whole doubles become integers, as they do in the strict reader.
    json::value(number, text).prop_map(|value| Text::from(&value).node().to_value())
}

/// Asserts that a node is this value, and returns the number of its members and elements.
fn check(node: Node<'_>, value: &Value) -> usize {
    assert_eq!((node.text(), &node.to_value()), (canonical::write(value).as_str(), value));
    assert_eq!(node.string().as_deref(), value.as_str());
    assert_eq!((node.boolean(), node.is_null()), (value.as_bool(), value.is_null()));
    assert_eq!(node.number().as_ref(), value.as_number());
    let elements = node.elements().map(Iterator::collect::<Vec<_>>);
    assert_eq!(elements.as_ref().map(Vec::len), value.as_array().map(Vec::len));
    let members = node.members().map(Iterator::collect::<Vec<_>>);
    assert_eq!(members.as_ref().map(Vec::len), value.as_object().map(Map::len));
    let mut parts = 0;
    for (index, element) in elements.into_iter().flatten().enumerate() {
        assert_eq!(node.pointer(&format!("/{index}")), Some(element));
        parts += 1 + check(element, &value[index]);
    }
    for (name, member) in members.into_iter().flatten() {
        assert_eq!(node.member(&name), Some(member));
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        assert_eq!(node.pointer(&pointer), Some(member));
        parts += 1 + check(member, &value[&*name]);
    }
    assert_eq!(node.parts(), parts);
    parts
}

fn values(text: &str, bytes: usize, members: usize) -> Result<(Vec<Text>, bool), Refused> {
    let limits = ValueLimits { text: Limits { bytes: usize::MAX, depth: MAX_DEPTH }, bytes, members };
    let values = Values::new(text.as_bytes(), limits)?;
    let is_array = values.is_array();
    Ok((values.collect::<Result<_, _>>()?, is_array))
}

proptest! {
    #[test]
    fn a_node_is_the_value_of_its_text(value in value()) {
        check(Text::from(&value).node(), &value);
    }

    #[test]
    fn a_text_is_read_the_same_with_and_without_a_tree(
        value in value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[]\\[{}\",:0-9eE.+\\-\\\\u \\x00tfna]{0,2}"), 0..4),
    ) {
        let mut text = canonical::write(&value);
        for (place, edit) in edits {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            text.insert_str(*place.get(&places), &edit);
        }
        let tree = canonical::read(text.as_bytes(), Limits::PAYLOAD).map(|value| canonical::write(&value));
        let one_pass = canonical::canonicalise(text.as_bytes(), Limits::PAYLOAD);
        prop_assert_eq!(one_pass.map_err(|refused| refused.refusal), tree.map_err(|refused| refused.refusal));
    }

    #[test]
    fn the_values_of_an_array_are_its_elements(elements in prop::collection::vec(value(), 0..5), value in value()) {
        let texts: Vec<Text> = elements.iter().map(Text::from).collect();
        let text = format!(" {} ", json!(elements));
        prop_assert_eq!(values(&text, usize::MAX, usize::MAX), Ok((texts, true)));
        if !value.is_array() {
            let text = format!("\n{value}");
            prop_assert_eq!(values(&text, usize::MAX, usize::MAX), Ok((vec![Text::from(&value)], false)));
        }
    }

    #[test]
    fn an_object_is_put_together_from_its_members(value in value()) {
        if let Value::Object(members) = &value {
            let texts: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), canonical::write(value))).collect();
            let members = texts.iter().rev().map(|(name, text)| ((*name).into(), text.as_str()));
            prop_assert_eq!(Text::object(members), Text::from(&value));
        }
    }
}

#[test]
fn a_pointer_to_nothing_finds_nothing() {
    let text = Text::from(&json!({ "a": [1, { "": 2 }], "0": 3 }));
    for (pointer, found) in [
        ("", Some(r#"{"0":3,"a":[1,{"":2}]}"#)),
        ("/a/0", Some("1")),
        ("/a/1/", Some("2")),
        ("/0", Some("3")),
        ("/b", None),
        ("/a/2", None),
        ("/a/00", None),
        ("/a/+1", None),
        ("/a/-", None),
        ("/a/0/0", None),
    ] {
        assert_eq!(text.node().pointer(pointer).map(Node::text), found, "{pointer}");
    }
}

#[test]
fn each_value_has_limits_of_its_own() {
    let refusal = |text: &str, bytes, members| values(text, bytes, members).unwrap_err();
    assert!(values("[[1,2],[3,4]]", 5, 2).is_ok());
    for (text, bytes, members, pointer) in [
        ("[[1,2],[3,44]]", 5, 2, "/1"),
        ("[[1,2],[3,4,5]]", 99, 2, "/1"),
        ("[{},{\"a\":{\"b\":0}}]", 99, 1, "/1/a/b"),
        ("[\"abcd\"]", 5, 9, "/0"),
        ("{\"a\":1}", 6, 9, ""),
        ("1234", 3, 9, ""),
    ] {
        let refused = refusal(text, bytes, members);
        assert_eq!((refused.refusal, refused.pointer.as_str()), (Refusal::Value, pointer), "{text}");
    }
}

#[test]
fn a_fault_ends_the_values() {
    let limits = ValueLimits { text: Limits { bytes: 99, depth: 2 }, bytes: 99, members: 99 };
    for (text, good, refusal, pointer) in [
        ("", 0, Refusal::Syntax, ""),
        ("[", 0, Refusal::Syntax, "/0"),
        ("[1", 0, Refusal::Syntax, ""),
        ("[1,]", 1, Refusal::Syntax, "/1"),
        ("[1] 2", 0, Refusal::Syntax, ""),
        ("1 2", 0, Refusal::Syntax, ""),
        ("[1,{\"a\":0,\"b\":1,\"a\":2},3]", 1, Refusal::DuplicateKey, "/1/a"),
        ("[1,[[[]]]]", 1, Refusal::Depth, "/1/0/0"),
        ("[1,\"\\u0000\"]", 1, Refusal::Nul, "/1"),
    ] {
        let mut values = Values::new(text.as_bytes(), limits).unwrap();
        assert_eq!(values.by_ref().take(good).flatten().count(), good, "{text}");
        let refused = values.next().unwrap().unwrap_err();
        assert_eq!((refused.refusal, refused.pointer.as_str()), (refusal, pointer), "{text}");
        assert!(values.next().is_none(), "{text}");
    }
    let two_bytes = ValueLimits { text: Limits { bytes: 2, depth: 1 }, ..limits };
    assert_eq!(Values::new(b"[] ", two_bytes).err().unwrap().refusal, Refusal::Size);
    assert_eq!(Values::new(b"\xff", limits).err().unwrap().refusal, Refusal::Utf8);
    assert!(Values::new(b" [ ] ", limits).unwrap().next().is_none());
}
