//! `sealbus import`: files that are imported twice, and files with lines that are refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::support::{Bus, Role};

/// A bus with a publisher, and the file that is imported.
struct Import {
    bus: Bus,
    publisher: Role,
}

impl Import {
    async fn start() -> Self {
        let bus = Bus::start().await;
        let publisher = bus.role("publisher").await;
        Self { bus, publisher }
    }

    /// Imports a file of these bytes. Returns the exit code, the summary, and what is printed on stderr.
    async fn run(&self, file: impl AsRef<[u8]>) -> (Option<i32>, Value, String) {
        let path = self.bus.folder.path().join("events.jsonl");
        std::fs::write(&path, file).unwrap();
        let mut command = self.bus.command(&["import", &path.display().to_string(), "-o", "json"]);
        let output = command.env("SEALBUS_URL", self.publisher.url()).output().await.unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        let summary = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"));
        (output.status.code(), summary, printed)
    }

    /// Returns the data of a plan's events in order.
    async fn data_of(&self, plan: &str) -> Vec<Value> {
        let mut command = self.bus.command(&["trail", plan, "-o", "json"]);
        let output = command.env("SEALBUS_URL", self.publisher.url()).output().await.unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["data"].clone()).collect()
    }
}

fn line(plan: &str, id: &str, event_type: &str, data: u8) -> String {
    json!({ "specversion": "1.0", "id": id, "type": event_type, "subject": plan, "data": data }).to_string()
}

fn summary(counts: [u64; 5], ended_at_line: Option<u64>) -> Value {
    let [read, stored, duplicates, refused, held_back] = counts;
    json!({
        "read": read, "stored": stored, "duplicates": duplicates, "refused": refused, "held_back": held_back,
        "ended_at_line": ended_at_line,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_an_id_are_stored_once_however_often_they_are_imported() {
    let import = Import::start().await;
    let anonymous = r#"{"specversion":"1.0","type":"test.happened","subject":"p","data":1}"#;
    let file = format!("{anonymous}\n{anonymous}\n{}\n", anonymous.replace("\"data\"", "\"id\":null,\"data\""));
    let (status, counted, printed) = import.run(&file).await;
    assert_eq!((status, counted), (Some(0), summary([3, 3, 0, 0, 0], None)), "{printed}");
    let (status, counted, printed) = import.run(&file).await;
    assert_eq!((status, counted), (Some(0), summary([3, 0, 3, 0, 0], None)), "{printed}");
    assert_eq!(import.data_of("p").await, [json!(1), json!(1), json!(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_holds_back_the_later_events_of_its_plan_alone() {
    let import = Import::start().await;
    let file = |event_type: &str, number: &str| {
        let lines = [
            line("p", "p1", "test.happened", 1),
            // The service refuses a type that it does not know.
            line("p", "p2", event_type, 2),
            line("p", "p3", "test.happened", 3),
            line("q", "q1", "test.happened", 1),
            line("p", "p4", "test.happened", 4).replace("\"id\"", "\"tenantid\":\"test\",\"id\""),
            // The strict reader refuses an integer that another reader would round.
            line("r", "r1", "test.happened", 1).replace(":1,", &format!(":{number},")),
            line("r", "r2", "test.happened", 2),
            line("q", "q2", "test.happened", 2),
            // This event has no plan at all.
            r#"{"specversion":"1.0","id":"n","type":"test.happened"}"#.to_owned(),
        ];
        lines.join("\n")
    };
    let (status, counted, printed) = import.run(file("nobody.knows", "9007199254740993")).await;
    assert_eq!((status, counted), (Some(1), summary([9, 3, 0, 3, 3], None)), "{printed}");
    for text in [
        "line 2 is refused (unknown_event_type)",
        "line 6 is refused (json_integer_range)",
        "line 9 is refused (invalid_field)",
    ] {
        assert!(printed.contains(text), "{printed}");
    }
    assert_eq!(printed.matches("is refused").count(), 3, "{printed}");
    assert_eq!(import.data_of("p").await, [1]);
    assert_eq!(import.data_of("r").await, [json!(null); 0]);
    assert_eq!(import.data_of("q").await, [1, 2]);

    // With the lines mended, a second import completes the plans in order.
    let (status, counted, printed) = import.run(file("test.happened", "1")).await;
    assert_eq!((status, counted), (Some(1), summary([9, 5, 3, 1, 0], None)), "{printed}");
    assert_eq!(import.data_of("p").await, [1, 2, 3, 4]);
    assert_eq!(import.data_of("r").await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_beyond_the_limits_is_refused_alone() {
    let import = Import::start().await;
    // The publisher refuses the whole body for an event with so many elements.
    let large = line("p", "p2", "test.happened", 2).replace(":2", &format!(":[{}0]", "0,".repeat(20_000)));
    let file = [
        line("p", "p1", "test.happened", 1),
        large,
        line("p", "p3", "test.happened", 3),
        line("q", "q1", "test.happened", 1),
    ];
    let (status, counted, printed) = import.run(file.join("\n")).await;
    assert_eq!((status, counted), (Some(1), summary([4, 2, 0, 1, 1], None)), "{printed}");
    assert!(printed.contains("line 2 is refused (too_large)"), "{printed}");
    assert_eq!(import.data_of("p").await, [1]);
    assert_eq!(import.data_of("q").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_ends_at_a_line_that_may_be_of_any_plan() {
    let import = Import::start().await;
    let (first, last) = (line("p", "p1", "test.happened", 1), line("p", "p3", "test.happened", 3));
    let cut = &line("p", "p2", "test.happened", 2)[..40];
    let too_long = format!("{{\"subject\":\"p\",\"data\":\"{}\"}}", "x".repeat(4 << 20));
    for (unreadable, code) in [(cut, "json_syntax"), ("[1]", "invalid_field"), (too_long.as_str(), "too_large")] {
        let (status, counted, printed) = import.run(format!("{first}\n\n{unreadable}\n{last}\n")).await;
        let stored = counted["stored"].as_u64().unwrap();
        assert_eq!((status, &counted), (Some(1), &summary([2, stored, 1 - stored, 1, 0], Some(3))), "{printed}");
        assert!(printed.contains(&format!("line 3 is refused ({code})")), "{printed}");
    }
    assert_eq!(import.data_of("p").await, [1]);
    // A byte order mark and CRLF are harmless.
    let (status, counted, printed) = import.run(format!("\u{feff}{first}\r\n{last}\r\n")).await;
    assert_eq!((status, counted), (Some(0), summary([2, 1, 1, 0, 0], None)), "{printed}");
    assert_eq!(import.data_of("p").await, [1, 3]);
}

/// A failure ends the process, although the rest of the input has not arrived yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fails_does_not_wait_for_its_input() {
    let import = Import::start().await;
    let mut command = import.bus.command(&["import", "/dev/stdin"]);
    command.env("SEALBUS_URL", import.publisher.url()).env("SEALBUS_TOKEN", "unknown");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{}\n", line("p", "p1", "test.happened", 1)).as_bytes()).await.unwrap();
    let output = timeout(Duration::from_mins(3), child.wait_with_output()).await.expect("the import ends").unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && printed.contains("401"), "{printed}");
    drop(input);
}
