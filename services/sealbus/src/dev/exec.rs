//! `--exec`: a command beside the bus.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Runs it in a shell, with these variables; its status is ours. When we are told to end, so is it.
pub async fn run(
    command: &str,
    environment: &[(String, String)],
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", command]);
    // What the caller set for another deployment must not reach the command beside what is set for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEALBUS_")) {
        shell.env_remove(name);
    }
    shell.envs(environment.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    // The command finds this very program as `sealbus`.
    if let Some(folder) = std::env::current_exe()?.parent() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            shell.env("PATH", path);
        }
    }
    let mut child =
        shell.spawn().map_err(|error| Failure::new(format!("the command could not be started: {error}")))?;
    tokio::select! {
        status = child.wait() => {
            let status = status?;
            let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
            Ok(ExitCode::from(status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
        }
        () = shutdown.cancelled() => {
            child.kill().await?;
            Ok(ExitCode::from(130))
        }
    }
}
