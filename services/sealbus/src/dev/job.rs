//! A command as a shell runs its job: a process group of its own, which has the terminal and ends as a whole.
//!
//! In a group of its own, a signal reaches all that the command started, and none of what is ours. But a terminal is read by
//! its foreground group alone, and Ctrl-C and Ctrl-Z go to no other. So a command that is started at a prompt gets the
//! terminal, as a person expects of `sealbus dev --exec psql`: Ctrl-C is the command's to answer, and Ctrl-Z stops it and us.
//!
//! A group in the background, which ours is then, cannot take the terminal back. A shell does that by itself when its job
//! ends, a script or `make` does not; below one of these the command stays in the background, Ctrl-C reaches us, and we end
//! the command. There it cannot read the terminal.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_process_group, test_kill_process_group, waitpgid,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::failure::Failure;

/// Is told the group, and kills it when standard input closes without another word, in whatever way we end.
const LEASH: &str = r#"read -r group && { read -r _ || kill -s KILL -- "-$group"; }"#;
/// Between two looks at whether a group is gone, and how long our own stop may take to happen.
const MOMENT: Duration = Duration::from_millis(20);

/// A running command with all that it started. Dropping it kills them.
pub(super) struct Job {
    group: Pid,
    /// Where the command is to have the terminal.
    terminal: Option<File>,
    leash: Leash,
    children: tokio::signal::unix::Signal,
    status: Option<u8>,
    ending: bool,
}

impl Job {
    /// Starts the command, and gives it the terminal where that can be done.
    pub(super) fn start(command: &mut Command) -> Result<Self, Failure> {
        let terminal = terminal();
        let children = signal(SignalKind::child())?;
        let mut leash = Leash::start()?;
        let leader = command.process_group(0).spawn();
        let leader = leader.map_err(|error| Failure::new(format!("the command could not be started: {error}")))?;
        let group = Pid::from_child(&leader);
        let said = leash.say(&group.to_string());
        let job = Self { group, terminal, leash, children, status: None, ending: false };
        if let Err(error) = said {
            job.tell(Signal::KILL);
            return Err(error.into());
        }
        job.resume();
        Ok(job)
    }

    /// Waits until the command itself has ended, and gives its status as a shell would. Safe to drop and ask again.
    pub(super) async fn ended(&mut self) -> Result<u8, Failure> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            // Beside the command there may be orphans of its group, which are ours where we are a container's first process.
            match waitpgid(self.group, WaitOptions::NOHANG | WaitOptions::UNTRACED)? {
                Some((process, status)) if process == self.group => match status.stopping_signal() {
                    Some(signal) => self.stopped(signal).await?,
                    None => self.status = Some(code(status)),
                },
                Some(_) => {}
                None => drop(self.children.recv().await),
            }
        }
    }

    /// Ends all that is left of the job: asks with SIGTERM, and after `grace` asks no more. Gives the command's status.
    pub(super) async fn end(mut self, grace: Duration) -> Result<u8, Failure> {
        self.ending = true;
        if self.is_there() {
            self.tell(Signal::TERM);
            // What is stopped would not hear it.
            self.tell(Signal::CONT);
            let gone = async {
                self.ended().await?;
                while self.is_there() {
                    sleep(MOMENT).await;
                }
                Ok::<_, Failure>(())
            };
            match timeout(grace, gone).await {
                Ok(gone) => gone?,
                Err(_) => self.tell(Signal::KILL),
            }
        }
        let status = self.ended().await?;
        self.leash.let_go();
        Ok(status)
    }

    /// Whether any process of the group is there; those that were left to us are buried on the way.
    fn is_there(&mut self) -> bool {
        if self.status.is_some() {
            while let Ok(Some(_)) = waitpgid(self.group, WaitOptions::NOHANG) {}
        }
        test_kill_process_group(self.group) != Err(Errno::SRCH)
    }

    fn tell(&self, signal: Signal) {
        // A group that has gone meanwhile needs no telling.
        let _ = kill_process_group(self.group, signal);
    }

    /// What is to be done when the command was stopped: by Ctrl-Z, or because it is not the terminal's foreground group.
    async fn stopped(&self, signal: i32) -> Result<(), Failure> {
        let by_terminal = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
        match &self.terminal {
            _ if self.ending => {}
            // It was quicker to read than we were to give.
            Some(terminal) if by_terminal && tcgetpgrp(terminal) == Ok(self.group) => self.tell(Signal::CONT),
            // Our shell sees us stop, takes the terminal, and one day continues us.
            Some(_) => {
                let _ = kill_process_group(getpgrp(), Signal::TSTP);
                sleep(MOMENT).await;
                self.resume();
            }
            None if by_terminal => {
                return Err(Failure::new(
                    "the command wants to use the terminal, which it can where sealbus dev itself is started at a prompt",
                ));
            }
            None => {}
        }
        Ok(())
    }

    /// Gives the command the terminal, if it is ours to give, and lets it go on.
    fn resume(&self) {
        if let Some(terminal) = &self.terminal {
            if tcgetpgrp(terminal) == Ok(getpgrp()) {
                let _ = tcsetpgrp(terminal, self.group);
            }
            self.tell(Signal::CONT);
        }
    }
}

/// The small shell that outlives us, if need be, to kill the group.
struct Leash {
    shell: Child,
    pipe: ChildStdin,
}

impl Leash {
    fn start() -> io::Result<Self> {
        let mut shell = Command::new("sh");
        // In a group of its own: what is said to ours or to the command's is not for it.
        shell.args(["-c", LEASH]).process_group(0);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = shell.stdin.take().expect("standard input is a pipe, as was just said");
        Ok(Self { shell, pipe })
    }

    fn say(&mut self, word: &str) -> io::Result<()> {
        self.pipe.write_all(format!("{word}\n").as_bytes())
    }

    /// Lets it end without killing anybody.
    fn let_go(mut self) {
        // Where somebody else has ended it, it has let go.
        let _ = self.say("gone");
        let _ = self.shell.wait();
    }
}

/// The terminal, where we are its foreground group's leader, as a shell makes a job's first process.
fn terminal() -> Option<File> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let ours = tcgetpgrp(&terminal) == Ok(getpgrp()) && getpgrp() == getpid();
    ours.then_some(terminal)
}

/// The status that a shell would say.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
