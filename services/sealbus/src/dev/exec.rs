//! `sealbus dev --exec`: running a command while the bus runs (docs/spec/interface.md#dev-exec).

use std::process::{Command, ExitCode};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::Job;
use crate::failure::Failure;

/// Runs the command in a shell with these variables, and returns its status. When `shutdown` is cancelled, the command gets
/// SIGTERM and has `grace` to end. Everything that the command leaves running is ended with it, because it is of no use
/// without the bus.
pub(super) async fn run(
    command: &str,
    environment: &[(String, String)],
    grace: Duration,
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    let mut shell = Command::new("sh");
    // Variables that the caller set for another deployment must not reach the command.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEALBUS_")) {
        shell.env_remove(name);
    }
    shell.envs(environment.iter().map(|(name, value)| (name, value)));
    // The command finds this program as `sealbus`.
    if let Some(folder) = std::env::current_exe()?.parent() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            shell.env("PATH", path);
        }
    }
    let mut job = Job::start(command, &mut shell)?;
    tokio::select! {
        ended = job.ended() => drop(ended?),
        () = shutdown.cancelled() => {}
    }
    Ok(ExitCode::from(job.end(grace).await?))
}
