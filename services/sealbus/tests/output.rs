//! What a command does if its output cannot be written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::File;
use std::process::Stdio;

use sealbus_client::NewEvent;
use serde_json::json;
use tokio::process::Command;

use crate::support::{Bus, SEALBUS, client};

/// Runs a command whose output goes to `stdout`. Returns its exit code and what it printed on stderr.
async fn run(command: &mut Command, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns a pipe that nobody reads any more.
fn no_reader() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_quietly_when_its_reader_goes_away() {
    let bus = Bus::start().await;
    let mut roles = vec![bus.role("publisher").await];
    roles.push(bus.role("sealer").await);
    let published = client(&roles).publish("p", &NewEvent::new("test.happened", json!({}))).await.unwrap();
    let (status, printed) = bus.run(&["verify", "--all", "--wait"]).await;
    assert_eq!(status, 0, "{printed}");
    let id = published.event.id.to_string();
    let path = |name: &str| bus.folder.path().join(name).display().to_string();
    std::fs::write(path("events.jsonl"), "").unwrap();
    let (import, bundle, trust) = (path("events.jsonl"), path("bundle"), path("trust"));
    for arguments in [
        &["config"][..],
        &["config", "-o", "json"],
        &["catalog", "check"],
        &["catalog", "show"],
        &["publish", "p", "test.happened"],
        &["publish", "p", "test.happened", "-o", "json"],
        &["import", &import],
        &["trail", "p"],
        &["trail", "p", "-o", "json"],
        &["tail", "p", "--after", "0"],
        &["tail", "p", "--after", "0", "-o", "json"],
        &["verify", "--plan", "p"],
        &["verify", "--all", "-o", "json"],
        &["inspect", &id],
        &["export", "--plan", "p", "--out", &bundle],
        &["trust", "--out", &trust],
        &["dead-letters", "list"],
        &["forks", "list"],
        &["failover", "show"],
        &["failover", "confirm", "--reason", "a test"],
        &["keys", "list"],
        &["keys", "new", "--kind", "witness"],
        &["erase", "--subject", "nobody", "--reason", "a test"],
        &["migrate"],
        &["log", "init"],
    ] {
        let mut command = bus.command(arguments);
        let (status, printed) = run(command.env("SEALBUS_URL", roles[0].url()), no_reader()).await;
        assert_eq!(status, Some(141), "{arguments:?}: {printed}");
        let notices = printed.lines().filter(|line| !line.contains("is the active key of"));
        assert_eq!(notices.count(), 0, "{arguments:?}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_new_database_allows_appends() {
    let bus = Bus::start().await;
    let (status, printed) = bus.run(&["failover", "show", "-o", "json"]).await;
    assert_eq!(status, 0, "{printed}");
    let shown: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(shown["appends_allowed"], true, "{shown}");
    assert_eq!(shown["confirmed"], json!([shown["current"]]));
}

/// Also if nobody reads standard error, a failed command ends with its own exit code.
#[tokio::test]
async fn a_message_that_nobody_reads_does_not_change_the_exit_code() {
    let mut command = Command::new(SEALBUS);
    let status = command.env_clear().args(["verify", "--plan", "p"]).stderr(no_reader()).status().await.unwrap();
    assert_eq!(status.code(), Some(2));
}

#[tokio::test]
async fn output_that_cannot_be_written_is_a_failure() {
    let mut command = Command::new(SEALBUS);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (status, printed) = run(command.env_clear().args(["catalog", "check"]), full).await;
    assert_eq!(status, Some(1));
    assert!(printed.starts_with("sealbus: cannot write to standard output: "), "{printed}");
}
