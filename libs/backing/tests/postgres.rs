//! A Postgres as a child process: its user, the starts that it refuses, restarts after a crash, and the removal of its
//! files.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use rustix::process::{Pid, Signal, test_kill_process};
use sealbus_backing::{BackingError, Postgres, PostgresOptions, postgres_bin};
use sealbus_testkit::process::{processes_with, send_signal};
use sealbus_testkit::{eventually, eventually_eq};

use crate::support::{folder, postgres};

/// Runs a statement with psql as the superuser, and returns what it prints.
fn query(server: &Postgres, sql: &str) -> String {
    let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
    let output =
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(server.admin_url("postgres")).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn no_process_of_the_server_runs_as_root() {
    let folder = folder();
    let server = Postgres::start(postgres(&folder)).await.unwrap();
    let processes = processes_with(&folder.display().to_string());
    assert!(processes.contains(&server.process.pid()));
    for process in processes.into_iter().chain([server.process.pid()]) {
        assert_ne!(std::fs::metadata(format!("/proc/{process}")).unwrap().uid(), 0, "process {process} runs as root");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_only_the_loopback_listens() {
    let server = Postgres::start(postgres(&folder())).await.unwrap();
    let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
    let wrong = format!("postgres://sealbus_admin:guess@127.0.0.1:{}/postgres", server.port());
    assert!(!psql.args(["-XAtq", "-c", "SELECT 1"]).arg(wrong).output().unwrap().status.success());
    assert_eq!(query(&server, "SHOW listen_addresses"), "127.0.0.1");
    assert_eq!(query(&server, "SHOW server_encoding"), "UTF8");
    assert_eq!(query(&server, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'"), "C");
}

#[tokio::test]
async fn data_survives_a_crash_a_stop_and_another_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let kept = PostgresOptions { ephemeral: false, fsync: true, ..postgres(&folder.path().join("postgres")) };
    let mut server = Postgres::start(kept.clone()).await.unwrap();
    let port = server.port();
    query(&server, "CREATE TABLE kept AS SELECT 1 AS n");
    // Kill the server three times while sessions are open. A session that survived would block the next start.
    for round in 1..=3 {
        let mut sessions: Vec<_> = (0..8)
            .map(|_| {
                let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
                psql.args(["-XAtq", "-c", "SELECT pg_sleep(300)"]).arg(server.admin_url("postgres"));
                psql.stderr(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        let open =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' AND pid <> pg_backend_pid()";
        eventually_eq("the number of open sessions", "8".to_owned(), async || query(&server, open)).await;
        server.process.kill().await;
        server.restart().await.unwrap();
        for session in &mut sessions {
            session.wait().unwrap();
        }
        assert_eq!((server.port(), query(&server, "SELECT n FROM kept").as_str()), (port, "1"), "round {round}");
    }
    // Stop the server cleanly, start it again, and start another one on the same folder.
    server.process.stop().await;
    server.restart().await.unwrap();
    server.process.stop().await;
    let mut again = Postgres::start(kept).await.unwrap();
    assert_eq!(query(&again, "SELECT n FROM kept"), "1");
    again.process.stop().await;
}

#[tokio::test]
async fn a_start_waits_for_the_previous_server_of_the_folder_to_end() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let kept = PostgresOptions { ephemeral: false, ..postgres(&parent.path().join("postgres")) };
    // A dropped server shuts down while the next one starts, as when `sealbus dev` is killed and run again.
    drop(Postgres::start(kept.clone()).await.unwrap());
    let mut next = Postgres::start(kept).await.unwrap();
    assert_eq!(query(&next, "SELECT 1"), "1");
    next.process.stop().await;
}

#[tokio::test]
async fn the_error_of_a_taken_port_names_server_and_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder();
    let refused = Postgres::start(PostgresOptions { port: Some(port), ..postgres(&folder) }).await.err().unwrap();
    assert!(matches!(refused, BackingError::PortTaken { server: "Postgres", .. }), "{refused}");
    assert!(refused.to_string().contains(&port.to_string()), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused() {
    let folder = folder();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/PG_VERSION"), "9\n").unwrap();
    let refused = Postgres::start(postgres(&folder)).await.err().unwrap();
    assert!(
        matches!(&refused, BackingError::DataVersion { found, running, .. } if found == "9" && *running >= 15),
        "{refused}"
    );
    assert!(refused.to_string().contains("data of Postgres 9,"), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_error_of_a_server_that_ended_quotes_its_log() {
    let mut server = Postgres::start(postgres(&folder())).await.unwrap();
    send_signal(server.process.pid(), Signal::INT);
    let error = server.process.exited().await.to_string();
    assert!(error.starts_with("Postgres stopped") && error.contains("database system is shut down"), "{error}");
}

#[tokio::test]
async fn a_killed_server_leaves_no_process_and_no_folder() {
    let folder = folder();
    let mut server = Postgres::start(postgres(&folder)).await.unwrap();
    let children: Vec<_> = query(&server, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        .lines()
        .map(|line| Pid::from_raw(line.parse().unwrap()).unwrap())
        .collect();
    assert!(children.len() >= 4, "expected at least checkpointer, writer, walwriter and launcher, found {children:?}");
    server.process.kill().await;
    eventually("every child process has ended", async || {
        children.iter().all(|child| test_kill_process(*child).is_err())
    })
    .await;
    drop(server);
    eventually("the folder of a killed, ephemeral server is removed", async || !folder.exists()).await;
}

#[tokio::test]
async fn an_ephemeral_folder_is_removed_by_stop_and_after_a_drop() {
    let stopped = folder();
    Postgres::start(postgres(&stopped)).await.unwrap().process.stop().await;
    assert!(!stopped.exists(), "stop left the ephemeral folder");
    let dropped = folder();
    drop(Postgres::start(postgres(&dropped)).await.unwrap());
    eventually("the folder of a dropped server is removed", async || !dropped.exists()).await;
}

#[tokio::test]
async fn data_is_relocated_if_its_user_cannot_enter_the_folder() {
    if !rustix::process::geteuid().is_root() {
        println!(
            "SKIPPED data_is_relocated_if_its_user_cannot_enter_the_folder: only root runs Postgres as another user"
        );
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let kept = PostgresOptions { ephemeral: false, ..postgres(&closed.path().join("postgres")) };
    let mut server = Postgres::start(kept.clone()).await.unwrap();
    let relocated = server.relocated_to().expect("Postgres' user cannot enter a folder of mode 0700").to_owned();
    assert!(relocated.starts_with("/var/tmp"), "{}", relocated.display());
    query(&server, "CREATE TABLE kept AS SELECT 1 AS n");
    server.process.stop().await;

    // A second start finds the relocated data.
    let mut again = Postgres::start(kept).await.unwrap();
    assert_eq!((again.relocated_to(), query(&again, "SELECT n FROM kept").as_str()), (Some(relocated.as_path()), "1"));
    again.process.stop().await;

    // A link in that place is refused, and its target keeps its owner.
    std::fs::remove_dir_all(&relocated).unwrap();
    let target = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(target.path(), &relocated).unwrap();
    let refused =
        Postgres::start(PostgresOptions { ephemeral: false, ..postgres(&closed.path().join("postgres")) }).await;
    std::fs::remove_file(&relocated).unwrap();
    assert!(refused.is_err(), "Postgres started in the target of a link");
    assert_eq!(std::fs::metadata(target.path()).unwrap().uid(), 0, "the target of the link changed its owner");
}
