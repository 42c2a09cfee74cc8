//! A child that does not outlive its parent.
//!
//! The server runs under a small shell that reads a pipe from us. When we end, in whatever way, the pipe closes, and the
//! shell stops the server. The server is in a process group of its own, so that a Ctrl-C at the terminal reaches us alone and
//! the bus can drain before its database goes.
//!
//! One server at a time has a folder: its log there is locked (`flock`) through the descriptors that the shell, the server
//! and all its processes inherit, so that the lock goes with the last of them, however they end.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::Instant;

use crate::BackingError;
use crate::account::Account;

/// Runs `"$@"`, says its process id, stops it with signal `$SIGNAL` when standard input closes, and ends with its status.
/// `$REMOVE`, where it is set, is removed once a server that was stopped so has ended; one that ended by itself leaves it,
/// since it may be started again. The watch is deaf to its own end before it brings about the server's: which it was, is
/// known by the watch's status.
const SHELL: &str = r#"exec 3<&0
"$@" 3<&- </dev/null >&2 &
server=$!
echo $server
exec >&2
(read -r _ <&3; trap '' TERM; kill -s "$SIGNAL" $server; true) &
watch=$!
wait $server
status=$?
kill $watch 2>/dev/null
wait $watch 2>/dev/null && [ -n "$REMOVE" ] && rm -rf -- "$REMOVE"
exit $status"#;

/// How long a folder's last server is given to end: the shutdown of one whose parent was killed.
const HANDOVER: Duration = Duration::from_secs(15);

/// Where a server keeps its things.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a> {
    /// Absolute.
    pub path: &'a Path,
    /// Whether it goes when the server is stopped, or its parent gone.
    pub ephemeral: bool,
}

/// A server under its shell.
pub(crate) struct Tethered {
    what: &'static str,
    shell: Child,
    /// Closing it stops the server.
    pipe: Option<ChildStdin>,
    server: Pid,
    log: PathBuf,
}

impl Tethered {
    /// Starts `program`, its output appended to the folder's `log`; `signal` (INT, TERM) is what stops it cleanly.
    ///
    /// # Errors
    /// [`BackingError::InUse`] where another server has the folder and keeps it.
    pub(crate) async fn spawn(
        what: &'static str,
        program: &Path,
        arguments: &[String],
        signal: &str,
        account: Option<Account>,
        folder: Folder<'_>,
    ) -> Result<Self, BackingError> {
        let log = folder.path.join("log");
        let log = log.as_path();
        let locked = lock(what, log, HANDOVER).await?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh"]).arg(program).args(arguments).env("SIGNAL", signal).current_dir("/");
        shell.env("REMOVE", if folder.ephemeral { folder.path.as_os_str() } else { "".as_ref() });
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(locked);
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        if let Some(account) = account {
            account.apply(&mut shell);
        }
        let starting = || format!("starting {}", program.display());
        let mut shell = tokio::process::Command::from(shell).spawn().map_err(BackingError::io(starting()))?;
        let pipe = shell.stdin.take();
        let mut said = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).await.map_err(BackingError::io(starting()))?;
        }
        let server = said.trim().parse().ok().and_then(Pid::from_raw);
        let server = server.ok_or_else(|| BackingError::Died {
            what,
            status: "no process".into(),
            log: log.to_owned(),
            tail: tail(log),
        })?;
        Ok(Self { what, shell, pipe, server, log: log.to_owned() })
    }

    /// Asks `ready` until it says so.
    pub(crate) async fn until_ready(
        &mut self,
        within: Duration,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> Result<(), BackingError> {
        let deadline = Instant::now() + within;
        while !ready().await {
            if let Ok(Some(status)) = self.shell.try_wait() {
                return Err(BackingError::Died {
                    what: self.what,
                    status: status.to_string(),
                    log: self.log.clone(),
                    tail: tail(&self.log),
                });
            }
            if Instant::now() > deadline {
                return Err(BackingError::NotReady {
                    what: self.what,
                    seconds: within.as_secs(),
                    log: self.log.clone(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> Pid {
        self.server
    }

    /// Waits for the server to end, which it does not do by itself, and says how it did.
    pub(crate) async fn died(&mut self) -> BackingError {
        let status = self.shell.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        BackingError::Died { what: self.what, status, log: self.log.clone(), tail: tail(&self.log) }
    }

    /// Stops the server cleanly and waits for its end; an ephemeral folder is gone then.
    pub(crate) async fn stop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait().await;
    }

    /// Kills these processes and waits for the server's end; the folder stays.
    pub(crate) async fn kill(&mut self, processes: &[Pid]) {
        for process in processes {
            let _ = kill_process(*process, Signal::KILL);
        }
        let _ = self.shell.wait().await;
    }

    /// Removes an ephemeral folder whose server has ended by itself or was killed; that of a living one goes with it.
    pub(crate) fn sweep(&mut self, folder: Folder<'_>) {
        if folder.ephemeral && matches!(self.shell.try_wait(), Ok(Some(_))) {
            let _ = std::fs::remove_dir_all(folder.path);
        }
    }
}

/// Opens a log and locks it, waiting for the folder's last server to end.
async fn lock(what: &'static str, log: &Path, handover: Duration) -> Result<File, BackingError> {
    let doing = || format!("opening {}", log.display());
    let file = File::options().create(true).append(true).open(log).map_err(BackingError::io(doing()))?;
    let deadline = Instant::now() + handover;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(BackingError::io(doing())(error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                let folder = log.parent().unwrap_or(log).to_owned();
                return Err(BackingError::InUse { what, folder });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (log, short) = (folder.path().join("log"), Duration::from_millis(50));
        let place = Folder { path: folder.path(), ephemeral: false };
        let mut server =
            Tethered::spawn("sleep", Path::new("sleep"), &["1000".into()], "TERM", None, place).await.unwrap();
        let refused = lock("sleep", &log, short).await.unwrap_err();
        assert!(matches!(&refused, BackingError::InUse { folder: named, .. } if named == folder.path()), "{refused}");
        // The one who started it is gone, and it is not: still no other.
        let orphan = server.pid();
        let _ = kill_process(Pid::from_raw(i32::try_from(server.shell.id().unwrap()).unwrap()).unwrap(), Signal::KILL);
        let _ = server.shell.wait().await;
        assert!(matches!(lock("sleep", &log, short).await, Err(BackingError::InUse { .. })));
        kill_process(orphan, Signal::KILL).unwrap();
        drop(server);
        lock("sleep", &log, HANDOVER).await.unwrap();
    }
}
