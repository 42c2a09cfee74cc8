//! Options of throw-away servers.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};

use sealbus_backing::{NatsOptions, PostgresOptions};

/// Creates a temporary folder. The server's supervisor removes it.
pub(crate) fn folder() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

/// The options of a Postgres that is removed with its folder.
pub(crate) fn postgres(folder: &Path) -> PostgresOptions {
    PostgresOptions { folder: folder.to_owned(), port: None, ephemeral: true, fsync: false }
}

/// The options of a nats-server that is removed with its folder.
pub(crate) fn nats(folder: &Path) -> NatsOptions {
    NatsOptions { folder: folder.to_owned(), port: None, ephemeral: true }
}
