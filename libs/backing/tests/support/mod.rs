//! What these tests ask of processes and folders.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealbus_backing::{NatsOptions, PostgresOptions};

/// A folder that is gone when the server is; not dropped here, since the server's shell removes it.
pub(crate) fn folder() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

/// A throw-away Postgres.
pub(crate) fn postgres(folder: &Path) -> PostgresOptions {
    PostgresOptions { folder: folder.to_owned(), port: None, ephemeral: true, fsync: false }
}

/// A throw-away nats-server.
pub(crate) fn nats(folder: &Path) -> NatsOptions {
    NatsOptions { folder: folder.to_owned(), port: None, ephemeral: true, sync_always: false }
}

/// Waits for a condition; three minutes are for the slowest machine.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_mins(3), "waited three minutes in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes whose command line holds a text: a data folder or a configuration file names its server.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let numbered =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbered
        .filter(|pid: &u32| *pid != std::process::id())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
        })
        .collect()
}
