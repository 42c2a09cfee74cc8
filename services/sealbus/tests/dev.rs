//! `sealbus dev` as a user runs it: real input through `--exec`, detected tampering, and one sentence if it cannot start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use sealbus_testkit::process::send_signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{SEALBUS, shared};

/// Runs `sealbus dev` in a folder, and returns its exit code and output.
async fn dev(folder: &Path, arguments: &[&str]) -> (i32, String) {
    ended(&mut command(folder, arguments)).await
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(SEALBUS);
    command.arg("dev").args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Sends a signal to `sealbus dev` itself.
fn kill(dev: &Child, signal: Signal) {
    send_signal(dev.id().unwrap(), signal);
}

async fn ended(command: &mut Command) -> (i32, String) {
    let output = command.output().await.unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), printed)
}

/// The permit log of a municipality is stored, relayed, and delivered to audit storage once per event, in each plan's order.
#[tokio::test]
async fn a_real_event_log_is_imported_and_delivered() {
    let Some(log) = shared("data/permit-receipts.jsonl.gz") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("receipts.yaml"),
        "module: receipts\npatterns:\n  receipt.*: { channel: audit, schema: any }\n",
    )
    .unwrap();
    let script = format!(
        r#"set -e
        sql() {{ psql -qAt "$SEALBUS_ADMIN_DATABASE_URL" -c "$1"; }}
        sealbus import {log} -o json
        sealbus import {log} -o json
        sealbus verify --all --wait
        sealbus export --all --out all.tar && sealbus trust --out pins && sealbus verify --bundle all.tar --trust pins
        while [ "$(sql "SELECT count(*) FROM audit_log WHERE tenant = 'municipality'")" != 8577 ]; do :; done
        echo "plans $(sql "SELECT count(DISTINCT plan) FROM audit_log WHERE tenant = 'municipality'")"
        echo "duplicated $(sql "SELECT count(*) FROM (SELECT 1 FROM audit_log GROUP BY tenant, plan, seq HAVING count(*) > 1) d")"
        echo "disordered $(sql "SELECT count(*) FROM (SELECT seq, lag(seq, 1, 0::bigint) OVER (PARTITION BY tenant, plan ORDER BY n) AS before FROM audit_log) a WHERE seq <> before + 1")"
        while [ "$(sql "SELECT count(*) FROM sealbus.outbox")" != 0 ]; do :; done
        echo "relayed all"
        "#,
        log = log.display()
    );
    let (status, printed) = dev(folder.path(), &["--ephemeral", "--catalog", ".", "--exec", &script]).await;
    assert_eq!(status, 0, "{printed}");
    assert!(
        printed
            .contains(r#"{"read":8577,"stored":8577,"duplicates":0,"refused":0,"held_back":0,"ended_at_line":null}"#),
        "{printed}"
    );
    assert!(
        printed
            .contains(r#"{"read":8577,"stored":0,"duplicates":8577,"refused":0,"held_back":0,"ended_at_line":null}"#),
        "{printed}"
    );
    for text in ["plans 1434", "duplicated 0", "disordered 0", "relayed all", "no findings"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
}

#[tokio::test]
async fn a_superuser_who_tampers_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        for n in 1 2 3 4; do sealbus publish order-1 payment.settled '{"amount":"10.00"}' >/dev/null || exit 99; done
        sealbus verify --all --wait || exit 98
        psql -q "$SEALBUS_ADMIN_DATABASE_URL" -c "SET session_replication_role = replica;
            UPDATE sealbus.events SET payload = '{\"amount\":\"99.00\"}' WHERE seq = 3 AND tenant = 'dev'" || exit 97
        sealbus verify --plan order-1 -o json"#;
    let (status, printed) = dev(folder.path(), &["--ephemeral", "--exec", script]).await;
    assert_eq!(status, 3, "{printed}");
    let summary: serde_json::Value =
        serde_json::from_str(printed.lines().rfind(|line| line.starts_with('{')).unwrap()).unwrap();
    assert_eq!(summary["findings"][0]["verdict"], "PAYLOAD_HASH");
    assert_eq!(summary["findings"][0]["where"], "dev/order-1/3");
    assert_eq!(summary["findings"].as_array().unwrap().len(), 1);
    assert_eq!(summary["vouched"]["log_index"], 4, "the log is not vouched for up to its last leaf");
}

#[tokio::test]
async fn data_is_kept_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let publish = r#"sealbus publish order-1 payment.settled '{"amount":"1.00"}' -o json"#;
    for seq in [1, 2] {
        let (status, printed) = dev(folder.path(), &["--replicas", "1", "--exec", publish]).await;
        assert_eq!(status, 0, "{printed}");
        assert!(printed.contains(&format!(r#""seq":{seq},"#)), "{printed}");
    }
    // The data, logs, keys and passwords are private to the user who ran it.
    for entry in std::fs::read_dir(folder.path().join(".sealbus")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
    }
}

#[tokio::test]
async fn dev_exits_with_the_commands_status() {
    let folder = tempfile::tempdir().unwrap();
    let (status, printed) = dev(
        folder.path(),
        &[
            "--ephemeral",
            "--backing-only",
            "--exec",
            "test -n \"$SEALBUS_KEYRING\" && test -z \"$SEALBUS_URL$SEALBUS_URLS$SEALBUS_LISTEN$SEALBUS_ADMIN_LISTEN\" && exit 42",
        ],
    )
    .await;
    assert_eq!(status, 42, "{printed}");
}

/// The command gets the listen addresses of the first publisher, of the API as well as of probes and metrics.
#[tokio::test]
async fn the_command_knows_where_the_first_publisher_listens() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"[ "http://$SEALBUS_LISTEN" = "$SEALBUS_URL" ] && echo "admin=$SEALBUS_ADMIN_LISTEN" && read -r _"#;
    let mut dev = command(folder.path(), &["--ephemeral", "--exec", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(dev.stdout.take().unwrap()).lines();
    let line = printed.next_line().await.unwrap().unwrap();
    let admin = line.strip_prefix("admin=").unwrap();
    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("sealbus_publisher_"), "{metrics}");
    dev.stdin.take().unwrap().write_all(b"enough\n").await.unwrap();
    assert_eq!(dev.wait().await.unwrap().code(), Some(0));
}

/// Variables that the caller set for another deployment, also by files, do not replace those of dev. Other settings apply.
#[tokio::test]
async fn the_callers_variables_do_not_replace_those_of_dev() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, value: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, value).unwrap();
        path
    };
    let mut command = command(
        folder.path(),
        &["--ephemeral", "--replicas", "1", "--exec", "sealbus catalog show >/dev/null && sealbus config -o json"],
    );
    for name in ["DATABASE_URL", "OWNER_DATABASE_URL", "ADMIN_DATABASE_URL", "NATS_URL", "URL", "URLS"] {
        command.env(format!("SEALBUS_{name}_FILE"), file(name, "other://elsewhere.example"));
    }
    for name in ["LISTEN", "ADMIN_LISTEN"] {
        command.env(format!("SEALBUS_{name}_FILE"), file(name, "elsewhere.example:80"));
    }
    for name in ["ORIGIN", "TOKEN", "TENANT", "SINK_SCHEMA"] {
        command.env(format!("SEALBUS_{name}_FILE"), file(name, "elsewhere"));
    }
    command.env("SEALBUS_LEASE_RENEW_INTERVAL_FILE", file("renew", "1234ms"));
    command.env("SEALBUS_STREAM_MAX_BYTES_FILE", file("stream", "123MiB"));
    let (status, printed) = ended(&mut command).await;
    assert_eq!(status, 0, "{printed}");
    assert!(!printed.contains("elsewhere"), "{printed}");
    assert!(printed.contains("1234ms") && printed.contains("123MiB"), "{printed}");
}

/// The password of a given Postgres, which an environment variable contains, is never printed.
#[tokio::test]
async fn the_password_of_a_given_server_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = sealbus_testkit::Postgres::own_cluster().await;
    let url = postgres.admin_url();
    let password = url.split([':', '@']).nth(2).unwrap();
    let mut dev = command(folder.path(), &["--ephemeral", "--replicas", "1"])
        .env("SEALBUS_DEV_POSTGRES_URL", &url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        printed.push_str(&line);
        printed.push('\n');
        // This line is printed last.
        if line.contains("SEALBUS_URLS=") {
            kill(&dev, Signal::TERM);
        }
    }
    let output = dev.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("# SEALBUS_ADMIN_DATABASE_URL is postgres://***@127.0.0.1:"), "{printed}");
    assert!(!password.is_empty() && !printed.contains(password), "{printed}");

    let refused = ["--ephemeral", "--postgres-port", "1"];
    let (status, printed) = ended(command(folder.path(), &refused).env("SEALBUS_DEV_POSTGRES_URL", &url)).await;
    assert_eq!(status, 2, "{printed}");
    assert!(printed.contains("SEALBUS_DEV_POSTGRES_URL") && !printed.contains(password), "{printed}");
    let wrong = format!("postgres://root:{password}@127.0.0.1:1/postgres");
    for mut failing in [
        command(folder.path(), &["--ephemeral", "--postgres-url", &wrong]),
        command(folder.path(), &["--ephemeral", "--postgres-url", password]),
        command(folder.path(), &["--ephemeral", "--postgres-url", &wrong, "--postgres-port", "1"]),
    ] {
        let (status, printed) = ended(&mut failing).await;
        assert!(status > 0 && !printed.contains(password), "{printed}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flag, what) in [("--postgres-port", "Postgres"), ("--nats-port", "nats-server"), ("--port", "SEALBUS_LISTEN")]
    {
        let (status, printed) = dev(folder.path(), &["--ephemeral", flag, &port]).await;
        assert_eq!(status, 1, "{printed}");
        assert!(
            printed.contains(&port) && printed.contains(what) && printed.trim().lines().count() == 1,
            "{flag}: {printed}"
        );
    }
}

#[tokio::test]
async fn data_of_another_version_is_reported_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join(".sealbus/postgres/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let (status, printed) = dev(folder.path(), &[]).await;
    assert_eq!(status, 1, "{printed}");
    // If the data is in another folder, it is not of another version.
    assert!(printed.contains("Postgres 9") && printed.trim().lines().count() == 1, "{printed}");
}

/// If a child process ends, dev ends too, and the message names it.
#[tokio::test]
async fn a_child_process_that_ends_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let kill = "kill -9 $(head -n 1 \"$(psql -qAt \"$SEALBUS_ADMIN_DATABASE_URL\" -c 'SHOW data_directory')/postmaster.pid\"); \
                exec sleep 60";
    let (status, printed) = dev(folder.path(), &["--ephemeral", "--backing-only", "--exec", kill]).await;
    assert_eq!(status, 1, "{printed}");
    assert!(printed.contains("Postgres stopped"), "{printed}");
}
