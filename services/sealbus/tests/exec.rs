//! The command of `sealbus dev --exec`, with all that it starts: how it is ended, and how it shares a terminal.

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

/// Longer than anything here takes in health, eleven starts of Postgres at once on a busy machine among it, and shorter than
/// what the commands sleep.
const LONG: Duration = Duration::from_mins(3);

/// `sealbus dev` with a command and no role. Whatever the command starts holds standard output open.
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

    /// The same at a terminal: `below` is the shell's line there, and $DEV the program and its arguments.
    fn at_a_terminal(below: &str, script: &str) -> Option<Self> {
        let line = below.replace("$DEV", &format!("{SEALBUS} dev --ephemeral --backing-only --exec \"$SCRIPT\""));
        // Whoever runs the tests in the background has them ignore Ctrl-C, and what a shell finds ignored it cannot trap.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT,QUIT", "script", "-qefc", &line, "/dev/null"])
            .env("SCRIPT", script)
            .env("SHELL", "/bin/sh");
        let there = std::process::Command::new("script").arg("--version").output();
        if there.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("util-linux")) {
            return Some(Self::of(command));
        }
        println!("SKIPPED: script of util-linux is not there");
        None
    }

    fn of(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take().unwrap(), child, output, _folder: folder }
    }

    /// Reads until a line ends in these words.
    async fn until(&mut self, words: &str) {
        let mut said = Vec::new();
        let reading = async {
            loop {
                let line = self.output.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended before it said {words}; it said {said:?}"));
                if line.trim_end().ends_with(words) {
                    break;
                }
                said.push(line);
            }
        };
        timeout(LONG, reading).await.unwrap_or_else(|_| panic!("it never said {words}"));
    }

    fn kill(&self, signal: Signal) {
        send_signal(self.child.id().unwrap(), signal);
    }

    async fn type_in(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).await.unwrap();
        self.input.flush().await.unwrap();
    }

    /// Waits until it and all that it started have ended; gives its status and what was printed last.
    async fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let reading = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                rest.push_str(&line);
            }
        };
        timeout(LONG, reading).await.unwrap_or_else(|_| panic!("something of it goes on"));
        (timeout(LONG, self.child.wait()).await.unwrap().unwrap().code(), rest)
    }
}

/// A command that leaves a child in the background, which Ctrl-C does not reach in a shell without job control.
/// What is ready is the process that a signal is for: a shell that has not begun to wait may miss one.
const WITH_CHILD: &str = "sleep 1000 & sh -c 'echo ready; exec sleep 1000'; echo never";

#[tokio::test]
async fn a_signal_ends_all_that_the_command_started() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut dev = Dev::start(WITH_CHILD);
        dev.until("ready").await;
        dev.kill(signal);
        assert_eq!(dev.ended().await, (Some(143), String::new()), "{signal:?}");
    }
}

#[tokio::test]
async fn a_command_may_end_in_its_own_way_while_the_servers_are_there() {
    let mut dev = Dev::start(
        r#"trap 'psql -qAt "$SEALBUS_DATABASE_URL" -c "SELECT 40 + 2"; exit 7' TERM; sleep 1000 & echo ready; wait"#,
    );
    dev.until("ready").await;
    dev.kill(Signal::TERM);
    assert_eq!(dev.ended().await, (Some(7), "42".to_owned()));
}

#[tokio::test]
async fn a_command_that_will_not_end_is_killed() {
    let mut dev = Dev::with_grace("trap '' TERM; sleep 1000 & echo ready; sleep 1000", "1s");
    dev.until("ready").await;
    dev.kill(Signal::TERM);
    assert_eq!(dev.ended().await, (Some(137), String::new()));
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let dev = Dev::start("sleep 1000 & exit 5");
    assert_eq!(dev.ended().await, (Some(5), String::new()));
}

#[tokio::test]
async fn however_dev_ends_nothing_of_the_command_goes_on() {
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
async fn at_a_prompt_the_terminal_is_the_commands() {
    // What follows the signal stands in the trap: it may come before the shell waits.
    let script = "echo ready; read -r line; echo heard $line; \
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
async fn at_a_prompt_ctrl_c_ends_a_command_that_has_no_answer() {
    let Some(mut dev) = Dev::at_a_terminal("exec $DEV", WITH_CHILD) else { return };
    dev.until("ready").await;
    dev.type_in("\x03").await;
    assert_eq!(dev.ended().await.0, Some(130));
}

/// A script could not have its terminal back, so the command does not get it.
#[tokio::test]
async fn below_a_script_ctrl_c_is_devs_and_the_command_cannot_read_the_terminal() {
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
