//! Signals, sent to real processes: a test runs this test program again as its child.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sealbus_runtime::lifecycle::{Stage, Supervisor, shutdown_on_signals};

/// Environment variable of the child: what its task does when it is stopped.
const BEHAVIOUR: &str = "SIGNALS_TEST_BEHAVIOUR";

/// The child process. It does nothing unless a test has started it.
#[test]
fn child() {
    let Ok(behaviour) = std::env::var(BEHAVIOUR) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let result = runtime.block_on(async {
        let shutdown = shutdown_on_signals().expect("signals");
        let mut supervisor = Supervisor::new(shutdown, Duration::from_mins(1));
        supervisor.spawn("role", Stage::Intake, |token| async move {
            println!("ready");
            token.cancelled().await;
            println!("stopping");
            match behaviour.as_str() {
                "ends" => Ok(()),
                "fails" => Err(std::io::Error::other("could not finish")),
                _ => std::future::pending().await,
            }
        });
        supervisor.run().await
    });
    std::process::exit(i32::from(result.is_err()));
}

struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(behaviour: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "child", "--nocapture"])
            .env(BEHAVIOUR, behaviour)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut process = Self { child, output };
        process.wait_for("ready");
        process
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        // The test harness writes the test's name on the same line.
        while !line.trim_end().ends_with(word) {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).expect("readable"),
                0,
                "the child ended before it printed {word}"
            );
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process can be signalled");
    }

    fn status(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn a_process_that_is_stopped_by_a_signal_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let process = Process::start("ends");
        process.signal(signal);
        assert_eq!(process.status(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_task_that_fails_during_shutdown_makes_the_exit_status_1() {
    let process = Process::start("fails");
    process.signal(Signal::TERM);
    assert_eq!(process.status(), Some(1));
}

#[test]
fn a_second_signal_ends_a_hanging_process() {
    let mut process = Process::start("hangs");
    process.signal(Signal::TERM);
    process.wait_for("stopping");
    process.signal(Signal::TERM);
    assert_eq!(process.status(), Some(128 + 15));
}
