//! Erasure: a publisher passes on only envelopes, and the report names every copy.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::Stdio;

use sealbus_testkit::eventually;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Bus, Role, TOKEN};

const SUBJECT: &str = "Ada Lovelace";
const SECRET: &str = "the-secret-of-ada";

async fn start() -> (Bus, String) {
    let mut bus = Bus::start().await;
    let catalog = "module: private\ntypes:\n  private.note: { content: encrypted, subject: /who, versions: { 1: { schema: any } } }\n";
    std::fs::write(bus.folder.path().join("catalog/private.yaml"), catalog).unwrap();
    let archive = bus.folder.path().join("archive.jsonl").display().to_string();
    let subscriptions = format!(
        "subscriptions:\n  audit-storage: {{ types: [\"*\"], sink: {{ postgres: {{ table: audit_log }} }} }}\n  \
         archive: {{ types: [private.*], sink: {{ jsonl: {{ path: {archive} }} }} }}\n  \
         payments: {{ types: [payment.*], sink: {{ flaky: {{ plans: [\"none\"], fails: always }} }} }}\n"
    );
    let file = bus.folder.path().join("subscriptions.yaml");
    std::fs::write(&file, subscriptions).unwrap();
    bus.set("SEALBUS_SUBSCRIPTIONS", &file.display().to_string());
    (bus, archive)
}

async fn published(publisher: &Role, body: &Value) -> Value {
    let call = reqwest::Client::new().post(format!("{}/v1/plans/p/events", publisher.url()));
    let answer = call.bearer_auth(TOKEN).json(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json().await.unwrap()
}

/// Erases the subject, which is read from standard input, and returns the report.
async fn erase(bus: &Bus, output: &str) -> String {
    let arguments = ["erase", "--subject", "-", "--reason", "ticket 17", "--actor", "officer", "-o", output];
    let mut command = bus.command(&arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{SUBJECT}\n").as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && !printed.contains(SUBJECT), "{printed}");
    printed
}

async fn text(bus: &Bus, table: &str) -> String {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plaintext_leaves_the_publisher_and_the_report_names_every_copy() {
    let (mut bus, archive) = start().await;
    bus.set("SEALBUS_BACKUP_RETENTION", "35d");
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "sealer", "dispatcher"] {
        roles.push(bus.role(name).await);
    }
    let body =
        json!({ "type": "private.note", "data": { "who": SUBJECT, "text": SECRET }, "metadata": { "ip": SECRET } });
    let shown = published(&roles[0], &json!([body, body])).await;
    assert_eq!(shown["events"][1]["data"], body["data"], "a token with every scope does not get the published data");
    eventually("both sinks hold both events", async || {
        let lines = std::fs::read_to_string(&archive).unwrap_or_default().lines().count();
        lines == 2 && text(&bus, "sealbus_sinks.audit_log").await.matches("sealbus/envelope/v2").count() == 2
    })
    .await;
    eventually("both positions have moved", async || {
        let moved = "SELECT count(*) FROM sealbus.positions pos JOIN sealbus.plans p USING (plan_no) WHERE plan = 'p' AND next_seq = 3";
        bus.count(moved).await >= 2
    })
    .await;
    let copies = [
        bus.nats.text_of("SEALBUS_EVENTS").await,
        std::fs::read_to_string(Path::new(&archive)).unwrap(),
        text(&bus, "sealbus_sinks.audit_log").await,
        text(&bus, "sealbus.events").await,
    ];
    for copy in &copies {
        assert!(copy.contains("sealbus/envelope/v2"), "{copy}");
        assert!(!copy.contains(SUBJECT) && !copy.contains(SECRET), "{copy}");
    }

    let report: Value = serde_json::from_str(&erase(&bus, "json").await).unwrap();
    assert_eq!(
        (report["keys"].as_array().unwrap().len(), &report["events"], &report["plans"]),
        (1, &json!(2), &json!(1))
    );
    assert_eq!(report["broker"]["holds"], "envelopes");
    let subscriptions: Vec<_> =
        report["subscriptions"].as_array().unwrap().iter().map(|row| row["subscription"].clone()).collect();
    assert_eq!(subscriptions, ["archive", "audit-storage"], "{report}");
    assert_eq!(report["subscriptions"][0]["sink"], format!("file {archive}"));
    assert_eq!(report["vacuumed"], true);
    assert_eq!(report["backups"]["expire"].as_str().map(str::len), Some("2026-12-31".len()));
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.data_keys").await, 0);

    let again = erase(&bus, "table").await;
    assert!(again.contains("nothing to erase"), "{again}");
    let (status, printed) = bus.run(&["verify", "--all", "--wait"]).await;
    assert_eq!(status, 0, "{printed}");
}

/// A command that appends counts as a live signer while it runs. It has to deregister before it ends, also if it fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_appends_leaves_no_live_signer() {
    let mut bus = Bus::start().await;
    // Set a lease that lasts longer than the test.
    bus.set("SEALBUS_LEASE", "5m");
    let signers =
        "SELECT count(*) FROM sealbus.leases WHERE kind LIKE 'signing/%/members' AND expires_at > clock_timestamp()";
    erase(&bus, "table").await;
    assert_eq!(bus.count(signers).await, 0, "a signer remains after a successful erasure");

    let names_subject = ["erase", "--subject", "Ada", "--reason", "Ada asked for it"];
    let (status, printed) = bus.run(&names_subject).await;
    assert_eq!(status, 1, "{printed}");
    assert_eq!(bus.count(signers).await, 0, "a signer remains after a refused erasure");

    for action in ["redrive", "skip"] {
        let decision = ["dead-letters", action, "audit-storage", "nobody", "--reason", "a test"];
        let (status, printed) = bus.run(&decision).await;
        assert_eq!(status, 1, "{printed}");
        assert_eq!(bus.count(signers).await, 0, "a signer remains after a refused {action}");
    }
    let (status, printed) = bus.run(&["keys", "new", "--kind", "ed25519"]).await;
    assert_eq!(status, 0, "{printed}");
    let kid = printed.split_whitespace().find(|word| word.starts_with("ed25519-")).unwrap();
    let (status, printed) = bus.run(&["keys", "rotate", kid, "--wait", "1s"]).await;
    assert_eq!(bus.count(signers).await, 0, "a signer remains after a rotation ({status}): {printed}");
}

/// An invalid subject is a usage error, and the error does not print the subject.
#[tokio::test]
async fn a_refused_subject_is_not_printed() {
    let invalid = format!("{SUBJECT}\u{1}");
    let arguments = ["erase", "--subject", &invalid, "--tenant", "acme", "--reason", "none"];
    let output = tokio::process::Command::new(support::SEALBUS).args(arguments).env_clear().output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("--subject") && !printed.contains("Ada"), "{printed}");
}
