//! A server does not outlive the process that started it, however that process ends.

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealbus_backing::{Nats, Postgres};
use support::{nats, postgres, processes_with, wait_until};

/// Where [`parent`] is told to put its servers.
const FOLDER: &str = "SEALBUS_TEST_FOLDER";

/// Not a test: the process that the test below kills. It starts both servers, says so and waits for its end.
#[tokio::test]
#[ignore = "run by dies_with_a_parent_that_is_killed, in a process of its own"]
async fn parent() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let _postgres = Postgres::start(postgres(&folder.with_extension("postgres"))).await.unwrap();
    let _nats = Nats::start(nats(&folder.with_extension("nats"))).await.unwrap();
    println!("\nstarted");
    std::future::pending::<()>().await;
}

#[test]
fn dies_with_a_parent_that_is_killed() {
    // Beside each other in the temporary folder: a user other than root may remove its own there, and only there.
    let folder = std::env::temp_dir().join(format!("sealbus-tether-{}", std::process::id()));
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent.args(["parent", "--exact", "--ignored", "--nocapture"]).env(FOLDER, &folder).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "started"), "the servers start");
    let folder_name = folder.display().to_string();
    assert!(processes_with(&folder_name).len() >= 2, "both run while their parent does");

    // SIGKILL: nothing of the parent's own runs any more.
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("both are gone", || processes_with(&folder_name).is_empty());
    for ending in ["postgres", "nats"] {
        wait_until("their ephemeral folders are gone", || !folder.with_extension(ending).exists());
    }
}
