//! A server does not outlive the process that started it, however that process ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealbus_backing::{Nats, Postgres};

use crate::support::{nats, postgres, processes_with, wait_until};

/// Where the process that is to be killed puts its servers.
const FOLDER: &str = "SEALBUS_TEST_FOLDER";

/// Starts both servers, says so, and never ends by itself.
async fn parent(folder: PathBuf) {
    let _postgres = Postgres::start(postgres(&folder.with_extension("postgres"))).await.unwrap();
    let _nats = Nats::start(nats(&folder.with_extension("nats"))).await.unwrap();
    println!("\nstarted");
    std::future::pending::<()>().await;
}

/// Runs itself once more, as the parent, and kills that.
#[tokio::test]
async fn dies_with_a_parent_that_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return parent(folder.into()).await;
    }
    // Beside each other in the temporary folder: a user other than root may remove its own there, and only there.
    let folder = std::env::temp_dir().join(format!("sealbus-tether-{}", std::process::id()));
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent
        .args(["dies_with_a_parent_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, &folder)
        .stdout(Stdio::piped());
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
