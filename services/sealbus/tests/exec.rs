//! The command of `sealbus dev --exec` with everything that it starts: how it is ended, and how it uses a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use sealbus_testkit::process::send_signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::SEALBUS;

/// Longer than any step takes on a busy machine with eleven starts of Postgres at a time, and shorter than the commands sleep.
const STEP_TIMEOUT: Duration = Duration::from_mins(3);

/// A `sealbus dev` that runs a command and no role. Everything that the command starts keeps standard output open.
struct Dev {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

impl Dev {
    fn start(script: &str) -> Self {
        Self::with_grace(script, "1m")
    }

    fn with_grace(script: &str, grace: &str) -> Self {
        let mut command = Command::new(SEALBUS);
        command.args(["dev", "--ephemeral", "--backing-only", "--exec", script]).env("SEALBUS_SHUTDOWN_GRACE", grace);
        Self::of(command)
    }

    /// Runs the same at a terminal. `below` is the line of the shell there, and $DEV the program with its arguments.
    fn at_a_terminal(below: &str, script: &str) -> Option<Self> {
        let line = below.replace("$DEV", &format!("{SEALBUS} dev --ephemeral --backing-only --exec \"$SCRIPT\""));
        // Tests that run in the background ignore Ctrl-C, and a shell cannot trap a signal that was ignored when it started.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT,QUIT", "script", "-qefc", &line, "/dev/null"])
            .env("SCRIPT", script)
            .env("SHELL", "/bin/sh");
        let version = std::process::Command::new("script").arg("--version").output();
        if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
            return Some(Self::of(command));
        }
        println!("SKIPPED: util-linux's script is not installed");
        None
    }

    fn of(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take().unwrap(), child, output, _folder: folder }
    }

    /// Reads output until a line ends in this text.
    async fn until(&mut self, words: &str) {
        let mut lines = Vec::new();
        let reading = async {
            loop {
                let line = self.output.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the output ended without {words:?}: {lines:?}"));
                if line.trim_end().ends_with(words) {
                    break;
                }
                lines.push(line);
            }
        };
        timeout(STEP_TIMEOUT, reading).await.unwrap_or_else(|_| panic!("timed out waiting for {words:?}"));
    }

    fn kill(&self, signal: Signal) {
        send_signal(self.child.id().unwrap(), signal);
    }

    async fn type_in(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).await.unwrap();
        self.input.flush().await.unwrap();
    }

    /// Waits until dev and everything that it started have ended. Returns its exit code and the rest of its output.
    async fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let reading = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                rest.push_str(&line);
            }
        };
        timeout(STEP_TIMEOUT, reading).await.unwrap_or_else(|_| panic!("a process that it started still runs"));
        (timeout(STEP_TIMEOUT, self.child.wait()).await.unwrap().unwrap().code(), rest)
    }
}

/// A command with a background child, which Ctrl-C does not reach in a shell without job control. The process that receives the
/// signal prints `ready`: a shell that does not wait yet may miss a signal.
const WITH_CHILD: &str = "sleep 1000 & sh -c 'echo ready; exec sleep 1000'; echo never";

#[tokio::test]
async fn a_signal_ends_everything_that_the_command_started() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut dev = Dev::start(WITH_CHILD);
        dev.until("ready").await;
        dev.kill(signal);
        assert_eq!(dev.ended().await, (Some(143), String::new()), "{signal:?}");
    }
}

#[tokio::test]
async fn a_command_can_handle_the_signal_while_the_servers_run() {
    let mut dev = Dev::start(
        r#"trap 'psql -qAt "$SEALBUS_DATABASE_URL" -c "SELECT 40 + 2"; exit 7' TERM; sleep 1000 & echo ready; wait"#,
    );
    dev.until("ready").await;
    dev.kill(Signal::TERM);
    assert_eq!(dev.ended().await, (Some(7), "42".to_owned()));
}

#[tokio::test]
async fn a_command_that_ignores_the_signal_is_killed() {
    let mut dev = Dev::with_grace("trap '' TERM; sleep 1000 & echo ready; sleep 1000", "1s");
    dev.until("ready").await;
    dev.kill(Signal::TERM);
    assert_eq!(dev.ended().await, (Some(137), String::new()));
}

#[tokio::test]
async fn background_processes_of_a_command_end_with_it() {
    let dev = Dev::start("sleep 1000 & exit 5");
    assert_eq!(dev.ended().await, (Some(5), String::new()));
}

#[tokio::test]
async fn nothing_of_the_command_outlives_dev() {
    let mut killed = Dev::start(WITH_CHILD);
    killed.until("ready").await;
    killed.kill(Signal::KILL);
    assert_eq!(killed.ended().await, (None, String::new()));

    let mut told_twice = Dev::start("trap 'echo told' TERM; while :; do sleep 1000 & echo ready; wait; done");
    told_twice.until("ready").await;
    told_twice.kill(Signal::TERM);
    told_twice.until("told").await;
    told_twice.kill(Signal::TERM);
    assert_eq!(told_twice.ended().await.0, Some(143));
}

#[tokio::test]
async fn at_a_prompt_the_command_has_the_terminal() {
    // The trap contains everything after the signal, because the signal may arrive before the shell waits.
    let script = "read -r _ _ _ _ group _ _ foreground _ < /proc/$$/stat; \
                  [ $group = $foreground ] || { echo started in the background; exit 1; }; \
                  echo ready; read -r line; echo heard $line; \
                  trap 'echo caught; read -r line; echo heard $line; exit 9' INT; sleep 1000 & echo trapped; wait";
    let Some(mut dev) = Dev::at_a_terminal("exec $DEV", script) else { return };
    dev.until("ready").await;
    dev.type_in("hello\n").await;
    dev.until("trapped").await;
    dev.type_in("\x03").await;
    dev.until("caught").await;
    dev.type_in("more\n").await;
    dev.until("heard more").await;
    assert_eq!(dev.ended().await.0, Some(9));
}

#[tokio::test]
async fn at_a_prompt_ctrl_c_ends_a_command_without_a_trap() {
    let Some(mut dev) = Dev::at_a_terminal("exec $DEV", WITH_CHILD) else { return };
    dev.until("ready").await;
    dev.type_in("\x03").await;
    assert_eq!(dev.ended().await.0, Some(130));
}

/// A script could not get its terminal back, so the command does not get it.
#[tokio::test]
async fn below_a_script_dev_handles_ctrl_c_and_the_command_cannot_read_the_terminal() {
    let below = "trap 'echo the script goes on' INT; $DEV; echo status $?";
    let Some(mut dev) = Dev::at_a_terminal(below, WITH_CHILD) else { return };
    dev.until("ready").await;
    dev.type_in("\x03").await;
    dev.until("the script goes on").await;
    dev.until("status 143").await;
    dev.ended().await;

    let mut dev = Dev::at_a_terminal(below, "read -r line").unwrap();
    dev.until("which it can have only if sealbus dev itself is started at a prompt").await;
    dev.until("status 1").await;
    dev.ended().await;
}
