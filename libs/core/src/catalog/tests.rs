//! The meaning of catalog files together, and refusals of faulty ones.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::canonical::Text;
use crate::retry::Backoff;

fn read(files: &[(&str, &str)]) -> Result<Catalog, CatalogError> {
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Catalog::read(&files)
}

fn built_in() -> Catalog {
    read(&[]).expect("the built-in catalog")
}

fn refusal(files: &[(&str, &str)]) -> String {
    read(files).map(|_| ()).expect_err("a faulty catalog").to_string()
}

#[test]
fn shipped_channels_have_the_documented_policies() {
    let catalog = built_in();
    let ms = Duration::from_millis;
    let expected = [
        (
            "audit",
            2000,
            vec!["audit-storage-service", "audit-dashboard-realtime"],
            5,
            Backoff::Exponential,
            ms(100),
            ms(10_000),
        ),
        ("rbac", 500, vec!["audit-logger", "permission-cache-invalidator"], 2, Backoff::Fixed, ms(200), ms(200)),
        (
            "security",
            1000,
            vec!["audit-logger", "metrics-service", "alert-service"],
            3,
            Backoff::Exponential,
            ms(100),
            ms(5_000),
        ),
    ];
    for (name, buffer_size, consumers, attempts, backoff, initial, max) in expected {
        let channel = &catalog.channels[name];
        assert_eq!(channel.buffer_size, buffer_size, "{name}");
        assert_eq!(channel.consumers, consumers, "{name}");
        assert_eq!(channel.retry, RetryPolicy { attempts, backoff, initial, max }, "{name}");
    }
    assert_eq!(catalog.default_consumer.as_deref(), Some("audit-logger"));
}

#[test]
fn the_types_that_sealbus_writes_are_in_the_catalog_and_reserved() {
    let catalog = built_in();
    let of_module = catalog.types.values().filter(|entry| entry.module == "sealbus");
    let types: Vec<_> = of_module.map(|entry| entry.name.as_str()).collect();
    let expected = [
        "delivery.fork_settled",
        "delivery.redriven",
        "delivery.skipped",
        "key.added",
        "key.retired",
        "key.revoked",
        "ledger.history_confirmed",
        "subject.erased",
    ];
    assert_eq!(types, expected);
    assert!(types.into_iter().all(is_reserved_type));
}

#[test]
fn settlement_data_is_checked() {
    let catalog = built_in();
    let rule = catalog.resolve("payment.settled", 1).expect("shipped");
    assert!(rule.validate(Text::from(&json!({ "amount": "10.00", "currency": "EUR" })).node()).is_empty());
    for (data, pointer, broken) in [
        (json!({}), "/data/amount", "required"),
        (json!({ "amount": 10 }), "/data/amount", "type"),
        (json!({ "amount": "10,00" }), "/data/amount", "pattern"),
        (json!({ "amount": "1", "currency": "euro" }), "/data/currency", "pattern"),
        (json!("10.00"), "/data", "type"),
    ] {
        let faults = rule.validate(Text::from(&data).node());
        assert!(faults.iter().any(|fault| fault.pointer == pointer && fault.rule == broken), "{data}: {faults:?}");
    }
}

#[test]
fn unknown_types_and_versions_are_refused_by_name() {
    let catalog = built_in();
    let unknown = catalog.resolve("payment.lost", 1).expect_err("not shipped");
    assert_eq!(unknown.to_string(), "event type payment.lost is not in the catalog");
    let unknown = catalog.resolve("payment.settled", 2).expect_err("not shipped");
    assert_eq!(unknown.to_string(), "version 2 of event type payment.settled is not in the catalog, which has [1]");
}

#[test]
fn the_most_specific_entry_takes_precedence() {
    let catalog = read(&[(
        "own.yaml",
        "module: own
types: { shift.created: { channel: a, versions: { 1: { schema: any } } } }
patterns:
  '*': { channel: d, schema: any }
  shift.*: { channel: c, schema: any }
  shift.signup.*: { channel: b, content: hash-only, schema: { type: object } }
",
    )])
    .expect("a catalog");
    for (event_type, channel) in
        [("shift.created", "a"), ("shift.signup.created", "b"), ("shift.deleted", "c"), ("shift", "d"), ("x.y", "d")]
    {
        assert_eq!(catalog.resolve(event_type, 1).expect("known").channel.name, channel, "{event_type}");
    }
    let rule = catalog.resolve("shift.signup.created", 7).expect("a pattern takes every version");
    assert_eq!(rule.content, PayloadMode::HashOnly);
    assert_eq!(rule.validate(Text::from(&json!(1)).node()).len(), 1);
    assert!(catalog.resolve("shift.created", 7).is_err(), "an exact type has the versions that it names");
}

#[test]
fn content_comes_from_the_type_or_else_its_channel() {
    let catalog = read(&[(
        "own.yaml",
        "module: own
channels: { quiet: { content: hash-only } }
channel: quiet
types:
  a: { versions: { 1: { schema: any } } }
  b: { content: plain, versions: { 1: { schema: any } } }
  c: { content: encrypted, subject: /customer/id, clear: [reason], versions: { 1: { schema: any } } }
",
    )])
    .expect("a catalog");
    let rule = |name| catalog.resolve(name, 1).expect("known");
    assert_eq!(
        (rule("a").content, rule("b").content, rule("c").content),
        (PayloadMode::HashOnly, PayloadMode::Plain, PayloadMode::Encrypted)
    );
    assert_eq!((rule("c").subject, rule("c").clear), (Some("/customer/id"), &["reason".to_owned()][..]));
}

#[test]
fn channels_that_nothing_defines_have_the_default_policy() {
    let catalog =
        read(&[("own.yaml", "module: own\ntypes: { a: { versions: { 1: { schema: any } } } }")]).expect("a catalog");
    let rule = catalog.resolve("a", 1).expect("known");
    assert_eq!(rule.channel.name, "own", "the module's name, where no channel is given");
    assert_eq!(rule.channel.retry, RetryPolicy::default());
    assert_eq!(catalog.policy("gone.since"), RetryPolicy::default());
    assert_eq!(catalog.policy("payment.settled").attempts, 5);
}

#[test]
fn a_channel_of_the_user_replaces_the_built_in_one() {
    let catalog =
        read(&[("own.yaml", "module: own\nchannels: { settlement: { attempts: 1 } }\ndefault_consumer: mine")])
            .expect("a catalog");
    assert_eq!(catalog.policy("payment.settled").attempts, 1);
    assert_eq!(catalog.default_consumer.as_deref(), Some("mine"));
}

#[test]
fn a_second_definition_is_refused_with_both_files() {
    let one = "module: one\nchannels: { c: {} }\ntypes: { a.b: { versions: { 1: { schema: any } } } }\npatterns: { p.*: { schema: any } }";
    let again = |text: &str| refusal(&[("one.yaml", one), ("two.yaml", text)]);
    let cases = [
        (
            "module: two\ntypes: { a.b: { versions: { 1: { schema: any } } } }",
            "event type a.b is defined twice: in one.yaml and in two.yaml",
        ),
        (
            "module: two\npatterns: { p.*: { schema: any } }",
            "pattern p.* is defined twice: in one.yaml and in two.yaml",
        ),
        ("module: two\nchannels: { c: {} }", "channel c is defined twice: in one.yaml and in two.yaml"),
        ("module: one", "module one is defined twice: in one.yaml and in two.yaml"),
        (
            "module: two\ntypes: { payment.settled: { versions: { 1: { schema: any } } } }",
            "event type payment.settled is defined twice: in built-in settlement.yaml and in two.yaml",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(again(text), expected);
    }
}

#[test]
fn unknown_keys_are_refused_with_file_key_and_line() {
    let cases = [
        ("module: own\ncolour: red\n", "own.yaml:2:", "colour"),
        ("module: own\ntypes:\n  a:\n    version: 1\n", "own.yaml:4:", "version"),
        ("module: own\nchannels:\n  c:\n    attempts: 3\n    delay: 1s\n", "own.yaml:5:", "delay"),
        ("module: own\npatterns:\n  a.*: { schema: any, topic: x }\n", "own.yaml:3:", "topic"),
        ("module: own\ntypes:\n  a: { versions: { 1: { schema: any, strict: true } } }\n", "own.yaml:3:", "strict"),
    ];
    for (text, place, key) in cases {
        let refusal = refusal(&[("own.yaml", text)]);
        assert!(refusal.starts_with(place) && refusal.contains(&format!("`{key}`")), "{text:?}: {refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
}

#[test]
fn values_that_break_a_rule_are_refused_with_their_place() {
    let cases = [
        ("types: { 'a b': { versions: { 1: { schema: any } } } }", "own.yaml: types > a b: "),
        ("types: { a: { versions: {} } }", "own.yaml: types > a: versions must have at least one entry"),
        ("types: { a: { versions: { 0: { schema: any } } } }", "own.yaml: types > a > versions > 0: "),
        (
            "types: { a: { versions: { 1: { schema: { type: text } } } } }",
            "own.yaml: types > a > versions > 1 > schema: ",
        ),
        (
            "types: { a: { versions: { 1: { schema: { $ref: 'http://127.0.0.1:9/x' } } } } }",
            "own.yaml: types > a > versions > 1 > schema: ",
        ),
        (
            "types: { key.made: { versions: { 1: { schema: any } } } }",
            "own.yaml: types > key.made: is reserved: only Sealbus",
        ),
        (
            "types: { a: { content: encrypted, subject: id, versions: { 1: { schema: any } } } }",
            "own.yaml: types > a > subject: ",
        ),
        (
            "types: { a: { content: encrypted, subject: /a~2, versions: { 1: { schema: any } } } }",
            "own.yaml: types > a > subject: ",
        ),
        ("types: { a: { schema: any } }", "own.yaml: types > a: a type must have versions"),
        (
            "patterns: { a.*: { versions: { 1: { schema: any } } } }",
            "own.yaml: patterns > a.*: a pattern must have one schema",
        ),
        ("patterns: { 'a*': { schema: any } }", "own.yaml: patterns > a*: "),
        ("channels: { c: { initial: fast } }", "own.yaml: channels > c: "),
        ("channels: { c: { attempts: 0 } }", "own.yaml: channels > c: attempts must be at least 1"),
        ("channels: { c: { buffer_size: 0 } }", "own.yaml: channels > c: buffer_size must be at least 1"),
        ("channel: 'a b'", "own.yaml: channel: "),
    ];
    for (text, expected) in cases {
        let refusal = refusal(&[("own.yaml", &format!("module: own\n{text}\n"))]);
        assert!(refusal.starts_with(expected), "{text}: {refusal}");
    }
}

#[test]
fn a_duplicate_key_in_a_file_is_refused() {
    let refusal = refusal(&[(
        "own.yaml",
        "module: own\ntypes:\n  a: { versions: { 1: { schema: any } } }\n  a: { versions: { 1: { schema: any } } }\n",
    )]);
    assert!(refusal.starts_with("own.yaml:4:"), "{refusal}");
}

#[test]
fn the_json_form_contains_the_whole_catalog() {
    let shown = built_in().to_json();
    let settled = shown["types"]
        .as_array()
        .expect("types")
        .iter()
        .find(|entry| entry["type"] == "payment.settled")
        .expect("shown");
    assert_eq!(settled["channel"], "settlement");
    assert_eq!(settled["versions"]["1"]["schema"]["required"], json!(["amount"]));
    let rbac = shown["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .find(|channel| channel["name"] == "rbac")
        .expect("shown");
    assert_eq!(
        (&rbac["backoff"], &rbac["initial"], &rbac["buffer_size"]),
        (&json!("fixed"), &json!("200ms"), &json!(500))
    );
}

#[test]
fn a_member_of_a_schema_may_have_any_name() {
    let name = "$serde_json::private::RawValue";
    let file = format!(
        "module: own
types: {{ a: {{ versions: {{ 1: {{ schema: {{ properties: {{ {name}: {{ type: integer }} }} }} }} }} }} }}
patterns: {{ b.*: {{ schema: {{ properties: {{ {name}: {{ type: integer }} }} }} }} }}
"
    );
    let catalog = read(&[("own.yaml", &file)]).expect("a catalog");
    for event_type in ["a", "b.c"] {
        let rule = catalog.resolve(event_type, 1).expect("declared");
        let check = |data: Value| rule.validate(Text::from(&data).node()).len();
        assert_eq!((check(json!({ name: 1 })), check(json!({ name: "1" }))), (0, 1));
    }
}
