//! A role as a process of its own, the way production runs it, with what it cost.

use std::process::Stdio;
use std::time::Duration;

use sealbus_backing::free_port;
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// The type that benchmarks publish.
const CATALOG: &str = "module: bench\npatterns:\n  bench.*: { channel: audit, schema: any }\n";

/// A running role; killed when dropped.
pub(super) struct Role {
    name: &'static str,
    child: Child,
    _catalog: tempfile::TempDir,
    /// `http://host:port` of its API, where it has one.
    pub url: String,
}

impl Role {
    /// Starts a role with this process' environment, and waits until it says that it is ready.
    pub(super) async fn start(name: &'static str) -> Result<Self, Failure> {
        let (api, admin) = (free_port()?, free_port()?);
        let catalog = tempfile::tempdir()?;
        std::fs::write(catalog.path().join("bench.yaml"), CATALOG)?;
        let child = Command::new(std::env::current_exe()?)
            .arg(name)
            .env("SEALBUS_LISTEN", format!("127.0.0.1:{api}"))
            .env("SEALBUS_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .env("SEALBUS_CATALOG", catalog.path())
            .env("SEALBUS_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut role = Self { name, child, _catalog: catalog, url: format!("http://127.0.0.1:{api}") };
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        let http = reqwest::Client::new();
        for _ in 0..300 {
            if let Some(status) = role.child.try_wait()? {
                return Err(Failure::new(format!("{name} ended at once: {status}")));
            }
            if http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(role);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Failure::new(format!("{name} was not ready within 30 s")))
    }

    /// Its largest resident set so far and its processor time, in a sentence.
    pub(super) fn cost(&self) -> String {
        let Some(pid) = self.child.id() else { return format!("{} has ended", self.name) };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let peak =
            peak.map_or_else(|| "memory unknown".to_owned(), |kib| format!("{:.0} MiB at most", kib as f64 / 1_024.0));
        format!("{}: {peak}", self.name)
    }
}
