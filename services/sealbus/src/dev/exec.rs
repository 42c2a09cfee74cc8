//! `--exec`: a command beside the bus.

use std::process::{Command, ExitCode};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::Job;
use crate::failure::Failure;

/// Runs it in a shell, with these variables; its status is ours. When we are told to end, it is told too and has `grace` for
/// it. What it leaves running ends with it: nothing of that is of use without the bus.
pub(super) async fn run(
    command: &str,
    environment: &[(String, String)],
    grace: Duration,
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    // What the caller set for another deployment must not reach the command beside what is set for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEALBUS_")) {
        shell.env_remove(name);
    }
    shell.envs(environment.iter().map(|(name, value)| (name, value)));
    // The command finds this very program as `sealbus`.
    if let Some(folder) = std::env::current_exe()?.parent() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            shell.env("PATH", path);
        }
    }
    let mut job = Job::start(&mut shell)?;
    tokio::select! {
        ended = job.ended() => drop(ended?),
        () = shutdown.cancelled() => {}
    }
    Ok(ExitCode::from(job.end(grace).await?))
}
