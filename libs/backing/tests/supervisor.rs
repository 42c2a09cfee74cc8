//! A server ends with the process that started it, however that process ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot start its server has failed")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealbus_backing::{Nats, Postgres};
use sealbus_testkit::process::processes_with;
use sealbus_testkit::{eventually, eventually_eq};

use crate::support::{nats, postgres};

/// The environment variable by which the test tells its child process to start the servers, and where.
const FOLDER: &str = "SEALBUS_TEST_FOLDER";

/// Starts both servers, prints `started`, and waits for ever.
async fn start_servers(folder: PathBuf) {
    let _postgres = Postgres::start(postgres(&folder.with_extension("postgres"))).await.unwrap();
    let _nats = Nats::start(nats(&folder.with_extension("nats"))).await.unwrap();
    println!("\nstarted");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn servers_end_with_a_parent_that_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return start_servers(folder.into()).await;
    }
    // Run this test a second time, as the parent of both servers. Their folders are directly in the temporary folder: if
    // this process is root, Postgres runs as another user, which may remove its own folder there.
    let folder = std::env::temp_dir().join(format!("sealbus-supervisor-{}", std::process::id()));
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent
        .args(["servers_end_with_a_parent_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, &folder)
        .stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "started"), "the parent ended before both servers were ready");
    let folder_name = folder.display().to_string();
    assert!(processes_with(&folder_name).len() >= 2, "fewer than two server processes run while their parent runs");

    // Kill the parent with SIGKILL, so that none of its own code runs.
    parent.kill().unwrap();
    parent.wait().unwrap();

    // Both servers end, and their folders are removed.
    eventually_eq("the list of server processes", Vec::<u32>::new(), async || processes_with(&folder_name)).await;
    for ending in ["postgres", "nats"] {
        eventually("the ephemeral folder is removed", async || !folder.with_extension(ending).exists()).await;
    }
}
