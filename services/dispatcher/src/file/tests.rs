//! Reading of subscriptions files.

use std::time::Duration;

use super::*;
use crate::sinks::{FlakySpec, JsonlSpec, PostgresSpec};

fn parse(text: &str) -> Result<Vec<Declared>, String> {
    read(&[("subs.yaml".to_owned(), text.to_owned())]).map_err(|error| error.to_string())
}

fn one(body: &str) -> Result<Declared, String> {
    parse(&format!("subscriptions:\n  audit:\n{body}")).map(|mut declared| declared.remove(0))
}

const SINK: &str = "    sink: { jsonl: { path: a.jsonl } }\n";

#[test]
fn the_example_file_is_read_as_its_comments_say() {
    let text = include_str!("../../subscriptions.example.yaml");
    let declared = parse(text).unwrap();
    let names: Vec<&str> = declared.iter().map(|one| one.spec.name.as_str()).collect();
    assert_eq!(names, ["archive", "audit-storage", "default", "reports", "trial"]);
    let [archive, audit, default, reports, trial] = &declared[..] else { panic!("five subscriptions") };
    assert_eq!(audit.sink, SinkSpec::Postgres(PostgresSpec { table: "audit_log".into(), url: None }));
    assert_eq!((audit.spec.start, audit.spec.parallelism), (Start::Beginning, Parallelism::Partitions));
    assert!(audit.spec.follows("acme") && !audit.spec.follows("_system"));
    assert_eq!(
        (reports.spec.start, reports.spec.follows("globex"), reports.spec.follows("other")),
        (Start::Now, true, false)
    );
    assert_eq!(archive.spec.parallelism, Parallelism::One);
    assert_eq!(archive.spec.retry.as_ref().unwrap().max, Duration::from_secs(10));
    assert_eq!(archive.sink, SinkSpec::Jsonl(JsonlSpec { path: "archive.jsonl".into(), fsync: true }));
    assert_eq!(
        trial.sink,
        SinkSpec::Flaky(FlakySpec { plans: vec!["unlucky-*".into()], fails: crate::sinks::Fails::First(2) })
    );
    // audit-storage takes everything, so that nothing is left for `default`.
    assert!(!default.spec.runs_for("acme", "anything"));
}

#[test]
fn default_takes_what_no_other_takes() {
    let text = "subscriptions:
  payments: { types: [payment.*], sink: { flaky: { plans: ['*'], fails: always } } }
  orders: { types: [order.*], tenants: [acme], sink: { flaky: { plans: ['*'], fails: always } } }
  default: { sink: { jsonl: { path: rest.jsonl } } }
";
    let declared = parse(text).unwrap();
    let default = &declared.iter().find(|one| one.spec.name.as_str() == "default").unwrap().spec;
    assert!(!default.runs_for("acme", "payment.made") && !default.runs_for("acme", "order.made"));
    assert!(default.runs_for("other", "order.made") && default.runs_for("acme", "mail.sent"));
    let named = parse(&text.replace("default: {", "default: { types: [payment.*],")).unwrap();
    let default = &named.iter().find(|one| one.spec.name.as_str() == "default").unwrap().spec;
    assert!(default.runs_for("acme", "payment.made"), "a type that `default` lists is excepted");
}

#[test]
fn absent_fields_have_their_defaults() {
    let declared = one(SINK).unwrap();
    assert_eq!(declared.spec, SubscriptionSpec::new(Subscription::parse("audit").unwrap()));
    assert_eq!(declared.sink, SinkSpec::Jsonl(JsonlSpec { path: "a.jsonl".into(), fsync: true }));
}

#[test]
fn an_invalid_file_is_refused_with_the_place_and_the_rule() {
    for (body, words) in [
        (format!("    type: ['*']\n{SINK}"), "type"),
        (format!("    types: []\n{SINK}"), "subscription audit: types: list at least one"),
        (format!("    types: ['**']\n{SINK}"), "subscription audit: types: type pattern must be"),
        (format!("    tenants: ['*', acme]\n{SINK}"), "subscription audit: tenants: \"*\" cannot be combined"),
        (format!("    tenants: [Acme]\n{SINK}"), "subscription audit: tenants: tenant must be"),
        (format!("    tenants: []\n{SINK}"), "subscription audit: tenants: list at least one"),
        (format!("    from: yesterday\n{SINK}"), "yesterday"),
        (format!("    parallelism: 4\n{SINK}"), "subscription audit: parallelism: must be `partitions`"),
        (format!("    parallelism: many\n{SINK}"), "subscription audit: parallelism: must be `partitions`"),
        (format!("    parallelism: [1]\n{SINK}"), "parallelism is `partitions` or 1"),
        (format!("    retry: {{ attempts: 0 }}\n{SINK}"), "attempts must be at least 1"),
        (format!("    retry: {{ initial: soon }}\n{SINK}"), "`soon` is not a duration"),
        ("    sink: { s3: { bucket: b } }\n".into(), "s3"),
        ("    sink: { jsonl: { path: a, rotate: daily } }\n".into(), "rotate"),
        ("    sink: { jsonl: { path: '..' } }\n".into(), "subscription audit: sink: path"),
        ("    sink: { postgres: { table: Audit } }\n".into(), "subscription audit: sink: table"),
        ("    sink: { flaky: { plans: [a], fails: often } }\n".into(), "fails is a number of attempts, or `always`"),
        ("    sink: { flaky: { plans: [], fails: 1 } }\n".into(), "subscription audit: sink: plans"),
        ("    types: ['*']\n".into(), "sink"),
    ] {
        let refused = one(&body).unwrap_err();
        assert!(refused.starts_with("subs.yaml:") && refused.contains(words), "{body} is refused with: {refused}");
    }
    for (text, words) in [
        (
            "subscriptions:\n  Audit:\n    sink: { jsonl: { path: a } }\n",
            "subscription Audit: name: subscription must be",
        ),
        ("subscriptions:\n  audit-1:\n    sink: { jsonl: { path: a } }\n", "not ending in - and digits"),
        (
            "subscriptions:\n  a:\n    sink: { jsonl: { path: a } }\n  a:\n    sink: { jsonl: { path: b } }\n",
            "duplicate",
        ),
        ("subscription: {}\n", "subscription"),
        ("[]\n", ""),
        ("subscriptions: {\n", ""),
    ] {
        let refused = parse(text).unwrap_err();
        assert!(refused.contains(words), "{text} is refused with: {refused}");
    }
}

/// A password with any characters, in any style of YAML and in any wrong place, is not shown.
#[test]
fn an_error_never_shows_the_password_of_a_sink() {
    let passwords = [
        "QQ", "a,QQ", "a,QQ,b", "a: QQ", "QQ}", "[QQ]", "QQ'", "\"QQ\"", "#QQ", "&QQ", "*QQ", "!QQ", "%QQ", "`QQ`",
        "a{QQ",
    ];
    for password in passwords {
        let url = format!("postgres://user:{password}@db.example/bus");
        for body in [
            format!("    sink: {{ postgres: {{ table: t, url: {url} }}, typo: 1 }}\n"),
            format!("    sink: {{ postgres: {{ table: t, url: {url}, typo: 1 }} }}\n"),
            format!("    sink: {{ postgres: {{ table: t, urls: {url} }} }}\n"),
            format!("    sink: {{ postgres: {{ table: {url} }} }}\n"),
            format!("    sink: {{ {url} }}\n"),
            format!("    sink: {url}\n"),
            format!("    sink: '{url}\n"),
            format!("    sink:\n      postgres:\n        table: t\n        url: {url}\n        typo: 1\n"),
            format!("    sink:\n      postgres:\n        table: t\n         url: {url}\n"),
            format!("    sink:\n      postgres:\n        url: [{url}]\n"),
            format!("    sink:\n      postgres:\n        url: \"{url}\"\n        typo: 1\n"),
            format!("    retry: {url}\n{SINK}"),
            format!("    parallelism: {url}\n{SINK}"),
            format!("    from: {url}\n{SINK}"),
            format!("    types: [{url}]\n{SINK}"),
        ] {
            if let Err(refused) = one(&body) {
                assert!(!refused.contains("QQ"), "{body} is refused with: {refused}");
            }
        }
    }
}

#[test]
fn two_subscriptions_never_write_to_the_same_target() {
    let file =
        |name: &str, sink: &str| (format!("{name}.yaml"), format!("subscriptions:\n  {name}:\n    sink: {sink}\n"));
    for (one, other, words) in [
        ("{ jsonl: { path: a } }", "{ jsonl: { path: a } }", "subscriptions a and b both write file a"),
        ("{ postgres: { table: t } }", "{ postgres: { table: t } }", "subscriptions a and b both write table t"),
    ] {
        assert_eq!(read(&[file("a", one), file("b", other)]).unwrap_err().to_string(), words);
    }
    let twice = [file("a", "{ jsonl: { path: a } }"), file("a", "{ jsonl: { path: b } }")];
    assert_eq!(read(&twice).unwrap_err().to_string(), "subscription a is declared twice");
    assert_eq!(read(&[file("a", "{ jsonl: { path: a } }"), file("b", "{ jsonl: { path: b } }")]).unwrap().len(), 2);
}

#[test]
fn the_yaml_files_of_a_folder_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a"] {
        let text = format!("subscriptions:\n  {name}:\n    sink: {{ jsonl: {{ path: {name} }} }}\n");
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    // Other files are ignored, and so is the lock file of an editor, which is hidden.
    for name in ["README.md", ".#a.yaml"] {
        std::fs::write(folder.path().join(name), "not a subscriptions file").unwrap();
    }
    let names: Vec<String> = load(folder.path()).unwrap().into_iter().map(|one| one.spec.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(load(&folder.path().join("a.yaml")).unwrap().len(), 1);
    let none = folder.path().join("none.yaml");
    assert_eq!(load(&none).unwrap_err().to_string(), format!("cannot read {}", none.display()));
}
