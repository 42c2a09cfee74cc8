//! Signals to processes and the search for processes, by system calls and `/proc`, so that no program has to be installed.

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to a process.
///
/// # Panics
/// If the process does not exist or may not be signalled.
pub fn send_signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).expect("a process id fits an i32");
    let pid = Pid::from_raw(raw).expect("a process id is not zero");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal:?} to process {raw}: {error}"));
}

/// Returns the ids of all other processes whose command line contains `text`.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is readable").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| *pid != std::process::id())
        .filter(|pid| {
            let command_line = std::fs::read(format!("/proc/{pid}/cmdline"));
            command_line.is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
        })
        .collect()
}
