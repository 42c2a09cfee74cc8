//! `sealbus dev --exec`: running a command while the bus runs (docs/spec/interface.md#dev-exec).
//!
//! The command is run as a shell runs a job: in its own process group, which can have the terminal and ends as a whole.
//! A signal to the group reaches everything that the command started, and nothing of this process. But only the foreground
//! group reads a terminal, and only it gets Ctrl-C and Ctrl-Z. So if this process was started at a prompt, it gives the
//! terminal to the command: Ctrl-C goes to the command, and Ctrl-Z stops the command and this process
//! (docs/spec/interface.md#dev-exec-terminal).
//!
//! A background group, which this process is then in, cannot take the terminal back. A shell takes it back by itself when its
//! job ends; a script or `make` does not. So below one of those the command stays in the background and cannot read the
//! terminal, and Ctrl-C goes to this process, which ends the command.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_process_group, test_kill_process_group, waitpgid,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::failure::{Context as _, Failure};

/// The shell script of the supervisor. It reads the group's id, and kills the group if standard input is closed before it has
/// read a second line, however this process ends.
const SUPERVISOR_SCRIPT: &str = r#"read -r group && { read -r _ || kill -s KILL -- "-$group"; }"#;
/// The shell script of the group's first process, which exists until the command has joined the group.
const FIRST_PROCESS_SCRIPT: &str = "read -r _";
/// How often it is checked whether a group still exists, and how long stopping this process may take.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

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

/// A running command, with everything that it started. Dropping it kills them.
struct Job {
    group: Pid,
    command: Pid,
    /// The terminal, if the command is to have it.
    terminal: Option<File>,
    supervisor: Supervisor,
    child_signals: tokio::signal::unix::Signal,
    /// The command's exit status, once it has ended.
    status: Option<u8>,
    is_ending: bool,
}

impl Job {
    /// Starts the command in a shell, and gives it the terminal if that is possible. `shell` has the environment and no
    /// arguments.
    ///
    /// The command joins a group that the supervisor knows and that has the terminal already. If the command led the group, it
    /// could run before either, and outlive this process or miss a Ctrl-C.
    fn start(command: &str, shell: &mut Command) -> Result<Self, Failure> {
        let terminal = terminal();
        let child_signals = signal(SignalKind::child())?;
        let mut supervisor = Supervisor::start()?;
        let mut first = small_shell(FIRST_PROCESS_SCRIPT)?;
        let group = Pid::from_child(&first);
        supervisor.send(&group.to_string())?;
        if let Some(terminal) = &terminal {
            give_terminal(terminal, group);
        }
        let started = shell.args(["-c", command]).process_group(group.as_raw_pid()).spawn();
        // A signal to the group may have stopped it.
        first.kill()?;
        first.wait()?;
        let command = Pid::from_child(&started.context("cannot start the command")?);
        Ok(Self { group, command, terminal, supervisor, child_signals, status: None, is_ending: false })
    }

    /// Waits until the command itself has ended, and returns its status as a shell reports it. The future can be dropped and
    /// created again.
    async fn ended(&mut self) -> Result<u8, Failure> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            // The group may contain orphans too. They are children of this process if it is a container's first process.
            match waitpgid(self.group, WaitOptions::NOHANG | WaitOptions::UNTRACED)? {
                Some((process, status)) if process == self.command => match status.stopping_signal() {
                    Some(signal) => self.on_stopped(signal).await?,
                    None => self.status = Some(exit_code(status)),
                },
                Some(_) => {}
                None => drop(self.child_signals.recv().await),
            }
        }
    }

    /// Ends everything that is left of the job: with SIGTERM, and after `grace` with SIGKILL. Returns the command's status.
    async fn end(mut self, grace: Duration) -> Result<u8, Failure> {
        self.is_ending = true;
        if self.has_processes() {
            self.send_signal(Signal::TERM);
            // A stopped process handles SIGTERM only after SIGCONT.
            self.send_signal(Signal::CONT);
            let all_ended = async {
                self.ended().await?;
                while self.has_processes() {
                    sleep(POLL_INTERVAL).await;
                }
                Ok::<_, Failure>(())
            };
            match timeout(grace, all_ended).await {
                Ok(ended) => ended?,
                Err(_) => self.send_signal(Signal::KILL),
            }
        }
        let status = self.ended().await?;
        self.supervisor.release();
        Ok(status)
    }

    /// Returns whether any process of the group exists. Once the command has ended, it also reaps re-parented children.
    fn has_processes(&mut self) -> bool {
        if self.status.is_some() {
            while let Ok(Some(_)) = waitpgid(self.group, WaitOptions::NOHANG) {}
        }
        test_kill_process_group(self.group) != Err(Errno::SRCH)
    }

    fn send_signal(&self, signal: Signal) {
        // An error means that the group has ended meanwhile.
        let _ = kill_process_group(self.group, signal);
    }

    /// Handles a stop of the command: by Ctrl-Z, or because it used the terminal without being its foreground group.
    async fn on_stopped(&self, signal: i32) -> Result<(), Failure> {
        let used_terminal = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
        match &self.terminal {
            _ if self.is_ending => {}
            // The shell sees that this process stops, takes the terminal, and later continues this process.
            Some(_) => {
                let _ = kill_process_group(getpgrp(), Signal::TSTP);
                sleep(POLL_INTERVAL).await;
                self.resume();
            }
            None if used_terminal => {
                return Err(Failure::new(
                    "the command needs the terminal, which it can have only if sealbus dev itself is started at a prompt",
                ));
            }
            None => {}
        }
        Ok(())
    }

    /// Gives the command the terminal, if this process has it, and continues the command.
    fn resume(&self) {
        if let Some(terminal) = &self.terminal {
            give_terminal(terminal, self.group);
            self.send_signal(Signal::CONT);
        }
    }
}

/// A small shell that kills the group if this process ends without releasing it.
struct Supervisor(Child);

impl Supervisor {
    fn start() -> io::Result<Self> {
        small_shell(SUPERVISOR_SCRIPT).map(Self)
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let input = self.0.stdin.as_mut().expect("standard input is a pipe until the shell is waited for");
        input.write_all(format!("{line}\n").as_bytes())
    }

    /// Ends the supervisor without killing the group.
    fn release(mut self) {
        // An error means that the supervisor has been ended already.
        let _ = self.send("release");
        let _ = self.0.wait();
    }
}

/// Starts a shell script that reads a pipe from this process. It has its own group, which signals to this process do not reach.
fn small_shell(script: &str) -> io::Result<Child> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Returns the terminal if this process leads its foreground group, as the first process of a shell's job does.
fn terminal() -> Option<File> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let leads_foreground = tcgetpgrp(&terminal) == Ok(getpgrp()) && getpgrp() == getpid();
    leads_foreground.then_some(terminal)
}

/// Gives a process group the terminal, if this process has it.
fn give_terminal(terminal: &File, group: Pid) {
    if tcgetpgrp(terminal) == Ok(getpgrp()) {
        let _ = tcsetpgrp(terminal, group);
    }
}

/// Returns the exit code that a shell reports for a status: 128 and the signal's number for a process that a signal ended.
fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
