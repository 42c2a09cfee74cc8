//! A child that does not outlive its parent.
//!
//! The server runs under a small shell that reads a pipe from us. When we end, in whatever way, the pipe closes, and the
//! shell stops the server. The server is in a process group of its own, so that a Ctrl-C at the terminal reaches us alone and
//! the bus can drain before its database goes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};

use crate::BackingError;
use crate::account::Account;

/// Runs `"$@"`, says its process id, and stops it with signal `$SIGNAL` when standard input ends; then `$REMOVE`, where it is
/// set, is removed. A word on standard input means that the server is dead already and its data stays.
const SHELL: &str = r#"exec 3<&0
"$@" 3<&- </dev/null >&2 &
server=$!
echo $server
exec >&2
(
    if ! read -r _ <&3; then
        kill -s "$SIGNAL" $server
        while kill -0 $server 2>/dev/null; do sleep 0.05; done
        [ -z "$REMOVE" ] || rm -rf -- "$REMOVE"
    fi
) &
wait $server"#;

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
    /// Starts `command`, its output appended to `log`; `signal` (INT, TERM) is what stops it cleanly.
    pub async fn spawn(
        what: &'static str,
        program: &Path,
        arguments: &[String],
        signal: &str,
        account: Option<Account>,
        folder: Folder<'_>,
    ) -> Result<Self, BackingError> {
        let log = folder.path.join("log");
        let log = log.as_path();
        let open = File::options().create(true).append(true).open(log).map_err(BackingError::io(format!("opening {}", log.display())))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh"]).arg(program).args(arguments).env("SIGNAL", signal).current_dir("/");
        shell.env("REMOVE", if folder.ephemeral { folder.path.as_os_str() } else { "".as_ref() });
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(open);
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
        let server = server.ok_or_else(|| BackingError::Died { what, status: "no process".into(), log: log.to_owned(), tail: tail(log) })?;
        Ok(Self { what, shell, pipe, server, log: log.to_owned() })
    }

    /// Asks `ready` until it says so.
    pub async fn until_ready(&mut self, within: Duration, mut ready: impl AsyncFnMut() -> bool) -> Result<(), BackingError> {
        let deadline = tokio::time::Instant::now() + within;
        while !ready().await {
            if let Ok(Some(status)) = self.shell.try_wait() {
                return Err(BackingError::Died { what: self.what, status: status.to_string(), log: self.log.clone(), tail: tail(&self.log) });
            }
            if tokio::time::Instant::now() > deadline {
                return Err(BackingError::NotReady { what: self.what, seconds: within.as_secs(), log: self.log.clone() });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The server's process.
    pub fn pid(&self) -> Pid {
        self.server
    }

    /// Waits for the server to end, which it does not do by itself, and says how it did.
    pub async fn died(&mut self) -> BackingError {
        let status = self.shell.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        BackingError::Died { what: self.what, status, log: self.log.clone(), tail: tail(&self.log) }
    }

    /// Stops the server cleanly and waits for its end; an ephemeral folder goes.
    pub async fn stop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait().await;
    }

    /// Kills these processes and waits for the shell; the folder stays.
    pub async fn kill(&mut self, processes: &[Pid]) {
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(b"dead\n").await;
        }
        for process in processes {
            let _ = kill_process(*process, Signal::KILL);
        }
        let _ = self.shell.wait().await;
        self.pipe = None;
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
