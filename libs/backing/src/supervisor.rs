//! A server process that does not outlive this process.
//!
//! The server runs under a small shell script that reads a pipe from this process. The pipe closes when this process
//! ends, for whatever reason, and the script then stops the server. The server is in its own process group: Ctrl-C at
//! the terminal signals this process alone, so that the bus can drain before its database stops.
//!
//! A folder has one server at a time. The server's log in the folder is locked (`flock`) through the file descriptor
//! that the script, the server and all processes of the server inherit. The lock is therefore released when the last of
//! them has ended.

use std::fs::{File, TryLockError};
use std::iter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::Instant;

use crate::BackingError;
use crate::account::Account;

/// Runs `"$@"`, prints its process id, sends it signal `$SIGNAL` when standard input closes, and exits with its status.
///
/// If `$REMOVE` is not empty, the script removes that path after a server that it has stopped. A server that ended
/// without having been stopped leaves the path, since it may be started again. To tell the two cases apart, the watcher
/// ignores TERM from the moment that it stops the server: it is killed, and its status is not 0, only if the server
/// ended first.
const SUPERVISOR_SCRIPT: &str = r#"exec 3<&0
"$@" 3<&- </dev/null >&2 &
server=$!
echo $server
exec >&2
(read -r _ <&3; trap '' TERM; kill -s "$SIGNAL" $server; true) &
watcher=$!
wait $server
status=$?
kill $watcher 2>/dev/null
wait $watcher 2>/dev/null && [ -n "$REMOVE" ] && rm -rf -- "$REMOVE"
exit $status"#;

/// How long a new server waits for the folder's previous one to end, whose parent may just have been killed.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause between two checks of a lock or of readiness.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The number of log lines that an error quotes.
const QUOTED_LOG_LINES: usize = 8;

/// A server to run.
pub(crate) struct Program<'a> {
    /// The kind of server, for error messages.
    pub name: &'static str,
    /// The path of the program.
    pub path: &'a Path,
    /// The command-line arguments of the program.
    pub arguments: &'a [String],
    /// The signal that stops it cleanly, such as `TERM`.
    pub stop_signal: &'static str,
    /// The user to run it as, if not the current one.
    pub account: Option<Account>,
    /// The absolute path of the folder of its data and log.
    pub folder: &'a Path,
    /// Whether the folder is removed when the server is stopped or this process ends.
    pub ephemeral: bool,
}

/// A running server and the script that supervises it.
pub struct SupervisedServer {
    name: &'static str,
    supervisor: Child,
    /// Closing it stops the server.
    pipe: Option<ChildStdin>,
    server: Pid,
    log: PathBuf,
    ephemeral: bool,
}

impl SupervisedServer {
    /// Starts a server and appends its output to `log` in its folder.
    ///
    /// # Errors
    /// [`BackingError::FolderInUse`] if another server still runs in the folder after a wait of 15 s.
    pub(crate) async fn spawn(program: Program<'_>) -> Result<Self, BackingError> {
        let log = program.folder.join("log");
        let locked_log = lock(program.name, &log, PREDECESSOR_TIMEOUT).await?;
        let mut script = Command::new("sh");
        script.args(["-c", SUPERVISOR_SCRIPT, "sh"]).arg(program.path).args(program.arguments).current_dir("/");
        script.env("SIGNAL", program.stop_signal);
        script.env("REMOVE", if program.ephemeral { program.folder.as_os_str() } else { "".as_ref() });
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(locked_log).process_group(0);
        if let Some(account) = program.account {
            account.apply(&mut script);
        }
        let failed = || format!("cannot start {}", program.path.display());
        let mut supervisor = tokio::process::Command::from(script).spawn().map_err(BackingError::io(failed()))?;
        let pipe = supervisor.stdin.take();
        let mut first_line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout).read_line(&mut first_line).await.map_err(BackingError::io(failed()))?;
        }
        let Some(server) = first_line.trim().parse().ok().and_then(Pid::from_raw) else {
            return Err(exited(program.name, "no process was started", &log));
        };
        Ok(Self { name: program.name, supervisor, pipe, server, log, ephemeral: program.ephemeral })
    }

    /// Calls `is_ready` until it returns true.
    ///
    /// # Errors
    /// [`BackingError::Exited`] if the server ends first, [`BackingError::Unusable`] after `timeout`.
    pub(crate) async fn until_ready(
        &mut self,
        timeout: Duration,
        mut is_ready: impl AsyncFnMut() -> bool,
    ) -> Result<(), BackingError> {
        let deadline = Instant::now() + timeout;
        while !is_ready().await {
            if let Ok(Some(status)) = self.supervisor.try_wait() {
                return Err(exited(self.name, &status.to_string(), &self.log));
            }
            if Instant::now() > deadline {
                let (server, seconds, log) = (self.name, timeout.as_secs(), self.log.display());
                return Err(BackingError::Unusable(format!(
                    "{server} was not ready within {seconds} s; see its log, {log}"
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the server ends without having been stopped, and returns its exit status and the end of its log.
    pub async fn exited(&mut self) -> BackingError {
        let status = self.supervisor.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        exited(self.name, &status, &self.log)
    }

    /// Stops the server cleanly and waits until it has ended. An ephemeral folder is removed by then.
    pub async fn stop(&mut self) {
        self.pipe = None;
        // The supervisor can only be waited for; how the server ended does not matter.
        let _ = self.supervisor.wait().await;
    }

    /// Kills the server and its child processes with SIGKILL, as a crash would end them, and waits until the server has
    /// ended. The folder stays.
    pub async fn kill(&mut self) {
        for process in iter::once(self.server).chain(children(self.server)) {
            // A process that has ended already is what is wanted.
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.supervisor.wait().await;
    }

    /// Removes an ephemeral folder if the server has ended without having been stopped. The folder of a running server
    /// is removed by the script.
    pub(crate) fn remove_folder_if_ended(&mut self) {
        if self.ephemeral && matches!(self.supervisor.try_wait(), Ok(Some(_))) {
            // The script may have removed it.
            let _ = self.log.parent().map(std::fs::remove_dir_all);
        }
    }
}

/// Opens a log and locks it, and waits up to `timeout` for the folder's previous server to end.
async fn lock(server: &'static str, log: &Path, timeout: Duration) -> Result<File, BackingError> {
    let failed = || format!("cannot open {}", log.display());
    let file = File::options().create(true).append(true).mode(0o600).open(log).map_err(BackingError::io(failed()))?;
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(BackingError::io(failed())(error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                let folder = log.parent().unwrap_or(log).to_owned();
                return Err(BackingError::FolderInUse { server, folder });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Returns the child processes of a process, read from /proc.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // The format is `pid (command) state ppid …`. The command may contain spaces and brackets: count from its end.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(parent.as_str())
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Returns the error of a server that has ended, with the end of its log.
fn exited(server: &'static str, status: &str, log: &Path) -> BackingError {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(QUOTED_LOG_LINES)..].join("\n");
    BackingError::Exited { server, status: status.to_owned(), log: log.to_owned(), tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (log, short) = (folder.path().join("log"), Duration::from_millis(50));
        let arguments = ["1000".to_owned()];
        let program = Program {
            name: "sleep",
            path: Path::new("sleep"),
            arguments: &arguments,
            stop_signal: "TERM",
            account: None,
            folder: folder.path(),
            ephemeral: false,
        };
        let mut server = SupervisedServer::spawn(program).await.unwrap();
        let refused = lock("sleep", &log, short).await.unwrap_err();
        assert!(
            matches!(&refused, BackingError::FolderInUse { folder: named, .. } if named == folder.path()),
            "{refused}"
        );

        // The supervisor is killed and its server lives on: the folder is still locked.
        let orphan = server.server;
        let supervisor = i32::try_from(server.supervisor.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
        let _ = server.supervisor.wait().await;
        assert!(matches!(lock("sleep", &log, short).await, Err(BackingError::FolderInUse { .. })));

        // The server ends, and with it the lock.
        kill_process(orphan, Signal::KILL).unwrap();
        drop(server);
        lock("sleep", &log, PREDECESSOR_TIMEOUT).await.unwrap();
    }
}
