//! Runs a role as a separate process, as production does, and reads its peak memory.

use std::process::Stdio;
use std::time::Duration;

use sealbus_backing::free_port;
use tokio::process::{Child, Command};

use crate::failure::{Context as _, Failure};
use crate::wiring::until_ready;

/// How long a role may take until it is ready.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// A catalog with the event types that benchmarks publish.
const CATALOG: &str = "module: bench\npatterns:\n  bench.*: { channel: audit, schema: any }\n";

/// A running role. Dropping it kills the process.
pub(super) struct Role {
    name: &'static str,
    child: Child,
    _catalog: tempfile::TempDir,
    /// The base URL of the API, `http://host:port`, if the role has one.
    pub url: String,
}

impl Role {
    /// Starts a role with the environment of this process, and waits until it is ready.
    pub(super) async fn start(name: &'static str) -> Result<Self, Failure> {
        let [api, admin] = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
        let catalog = tempfile::tempdir()?;
        std::fs::write(catalog.path().join("bench.yaml"), CATALOG)?;
        let child = Command::new(std::env::current_exe()?)
            .arg(name)
            .env("SEALBUS_LISTEN", &api)
            .env("SEALBUS_ADMIN_LISTEN", &admin)
            .env("SEALBUS_CATALOG", catalog.path())
            .env("SEALBUS_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut role = Self { name, child, _catalog: catalog, url: format!("http://{api}") };
        let ready = tokio::time::timeout(STARTUP_TIMEOUT, until_ready(std::slice::from_ref(&admin)));
        tokio::select! {
            ended = role.child.wait() => Err(Failure::new(format!("{name} ended before it was ready: {}", ended?))),
            ready = ready => {
                ready.context(format_args!("{name} was not ready within {} s", STARTUP_TIMEOUT.as_secs()))?;
                Ok(role)
            }
        }
    }

    /// Describes the peak memory of the process.
    pub(super) fn memory_report(&self) -> String {
        let Some(pid) = self.child.id() else { return format!("{} has ended", self.name) };
        match peak_memory_mib(pid) {
            Some(peak) => format!("{}: {peak:.0} MiB peak memory", self.name),
            None => format!("{}: peak memory unknown", self.name),
        }
    }
}

/// Returns the largest resident set of a process so far, in MiB, or `None` if it has ended.
pub(super) fn peak_memory_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(line.parse::<f64>().ok()? / 1_024.0)
}
