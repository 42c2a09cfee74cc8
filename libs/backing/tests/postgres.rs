//! Postgres as a child: as whom it runs, what it refuses, and what is left of it after each way to end.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sealbus_backing::{BackingError, Postgres, PostgresOptions, postgres_bin};

use crate::support::{folder, postgres, processes_with, wait_until};

/// What psql answers to a statement.
fn ask(server: &Postgres, sql: &str) -> String {
    let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
    let output =
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(server.admin_url("postgres")).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

#[tokio::test]
async fn it_never_runs_as_root() {
    let folder = folder();
    let server = Postgres::start(postgres(&folder)).await.unwrap();
    let processes = processes_with(&folder.display().to_string());
    assert!(processes.contains(&server.pid()));
    for process in processes.into_iter().chain([server.pid()]) {
        assert_ne!(std::fs::metadata(format!("/proc/{process}")).unwrap().uid(), 0);
    }
}

#[tokio::test]
async fn nobody_gets_in_without_its_password() {
    let server = Postgres::start(postgres(&folder())).await.unwrap();
    let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
    let wrong = format!("postgres://sealbus_admin:guess@127.0.0.1:{}/postgres", server.port());
    assert!(!psql.args(["-XAtq", "-c", "SELECT 1"]).arg(wrong).output().unwrap().status.success());
    assert_eq!(ask(&server, "SHOW listen_addresses"), "127.0.0.1");
    assert_eq!(ask(&server, "SHOW server_encoding"), "UTF8");
    assert_eq!(ask(&server, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'"), "C");
}

#[tokio::test]
async fn data_outlives_a_crash_a_stop_and_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let kept = PostgresOptions { ephemeral: false, fsync: true, ..postgres(&folder.path().join("postgres")) };
    let mut server = Postgres::start(kept.clone()).await.unwrap();
    let port = server.port();
    ask(&server, "CREATE TABLE kept AS SELECT 1 AS n");
    // With sessions open: a crash that leaves one of them running keeps the next start away from the data.
    for round in 1..=3 {
        let mut sessions: Vec<_> = (0..8)
            .map(|_| {
                let mut psql = Command::new(postgres_bin().unwrap().join("psql"));
                psql.args(["-XAtq", "-c", "SELECT pg_sleep(300)"]).arg(server.admin_url("postgres"));
                psql.stderr(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        wait_until("the sessions are open", || {
            ask(
                &server,
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' AND pid <> pg_backend_pid()",
            ) == "8"
        });
        server.kill().await;
        server.restart().await.unwrap();
        for session in &mut sessions {
            session.wait().unwrap();
        }
        assert_eq!((server.port(), ask(&server, "SELECT n FROM kept").as_str()), (port, "1"), "round {round}");
    }
    server.stop().await;
    server.restart().await.unwrap();
    server.stop().await;
    let mut again = Postgres::start(kept).await.unwrap();
    assert_eq!(ask(&again, "SELECT n FROM kept"), "1");
    again.stop().await;
}

#[tokio::test]
async fn a_folder_in_use_is_waited_for_then_taken() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let kept = PostgresOptions { ephemeral: false, ..postgres(&parent.path().join("postgres")) };
    // Dropped, not stopped: its shutdown goes on while the next one starts, as when `sealbus dev` is killed and run again.
    drop(Postgres::start(kept.clone()).await.unwrap());
    let mut next = Postgres::start(kept).await.unwrap();
    assert_eq!(ask(&next, "SELECT 1"), "1");
    next.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder();
    let refused = Postgres::start(PostgresOptions { port: Some(port), ..postgres(&folder) }).await.err().unwrap();
    assert!(matches!(refused, BackingError::PortTaken { what: "Postgres", .. }), "{refused}");
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
        matches!(&refused, BackingError::OtherVersion { found, running, .. } if found == "9" && *running >= 15),
        "{refused}"
    );
    assert!(refused.to_string().contains("data of Postgres 9 "), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_death_is_told_with_the_end_of_its_log() {
    let mut server = Postgres::start(postgres(&folder())).await.unwrap();
    kill_process(pid(server.pid()), Signal::INT).unwrap();
    let death = server.died().await.to_string();
    assert!(death.starts_with("Postgres stopped") && death.contains("database system is shut down"), "{death}");
}

#[tokio::test]
async fn a_crash_leaves_no_process() {
    let folder = folder();
    let mut server = Postgres::start(postgres(&folder)).await.unwrap();
    let children: Vec<_> = ask(&server, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        .lines()
        .map(|line| pid(line.parse().unwrap()))
        .collect();
    assert!(children.len() >= 4, "checkpointer, writer, walwriter, launcher: {children:?}");
    server.kill().await;
    wait_until("every child is gone", || children.iter().all(|child| test_kill_process(*child).is_err()));
    drop(server);
    wait_until("the folder of a killed, ephemeral server is gone", || !folder.exists());
}

#[tokio::test]
async fn an_ephemeral_folder_is_gone_when_stop_returns_and_soon_after_a_drop() {
    let stopped = folder();
    Postgres::start(postgres(&stopped)).await.unwrap().stop().await;
    assert!(!stopped.exists());
    let dropped = folder();
    drop(Postgres::start(postgres(&dropped)).await.unwrap());
    wait_until("the folder of a dropped server is gone", || !dropped.exists());
}

#[tokio::test]
async fn where_its_user_cannot_get_in_the_data_lies_elsewhere_and_is_found_again() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED where_its_user_cannot_get_in: only root gives Postgres another user");
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let kept = PostgresOptions { ephemeral: false, ..postgres(&closed.path().join("postgres")) };
    let mut server = Postgres::start(kept.clone()).await.unwrap();
    let moved = server.moved_to().expect("a folder of mode 0700 is closed to it").to_owned();
    assert!(moved.starts_with("/var/tmp"), "{}", moved.display());
    ask(&server, "CREATE TABLE kept AS SELECT 1 AS n");
    server.stop().await;
    let mut again = Postgres::start(kept).await.unwrap();
    assert_eq!((again.moved_to(), ask(&again, "SELECT n FROM kept").as_str()), (Some(moved.as_path()), "1"));
    again.stop().await;
    // What lies there already is not taken from whoever made it, nor followed.
    std::fs::remove_dir_all(&moved).unwrap();
    let target = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(target.path(), &moved).unwrap();
    let refused =
        Postgres::start(PostgresOptions { ephemeral: false, ..postgres(&closed.path().join("postgres")) }).await;
    std::fs::remove_file(&moved).unwrap();
    assert!(refused.is_err(), "a link that somebody laid is not followed");
    assert_eq!(std::fs::metadata(target.path()).unwrap().uid(), 0, "and what it points to keeps its owner");
}
