//! Errors of starting and running a server.

use std::path::PathBuf;

/// The reason why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// A program or a user is missing, a folder cannot be used, or the server did not become ready in time. The text says
    /// what is wrong, and what to do.
    #[error("{0}")]
    Unusable(String),
    /// The data folder was written by another major version of Postgres.
    #[error(
        "{path} holds data of Postgres {found}, but this machine runs Postgres {running}; move the folder away to start with empty data, or install Postgres {found}"
    )]
    DataVersion {
        /// The data folder.
        path: PathBuf,
        /// The version in the folder's `PG_VERSION`.
        found: String,
        /// The server's major version.
        running: u32,
    },
    /// The requested port is in use.
    #[error("port {port}, requested for {server}, is in use; free it, or leave it out to use a free one")]
    PortTaken {
        /// The server that was to listen there.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// Another process runs a server in the folder.
    #[error("another {server} is running in {folder}; stop it, or choose another folder")]
    FolderInUse {
        /// The kind of server.
        server: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// The server exited: before it was ready, or later without having been stopped.
    #[error("{server} stopped ({status}); the end of its log, {log}:\n{tail}")]
    Exited {
        /// The kind of server.
        server: &'static str,
        /// The exit status of the server.
        status: String,
        /// The path of the server's log.
        log: PathBuf,
        /// The last lines of the server's log.
        tail: String,
    },
    /// A program could not be run, or a file not be read or written.
    #[error("{failed}")]
    Io {
        /// The operation that failed, for example "cannot read /etc/passwd".
        failed: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl BackingError {
    /// Returns whether the server ended because another process had bound its port first.
    pub(crate) fn is_port_conflict(&self) -> bool {
        // Both servers log the system's message: Postgres capitalised, nats-server not.
        matches!(self, Self::Exited { tail, .. } if tail.contains("ddress already in use"))
    }

    /// Returns a function for `map_err`. `failed` says what failed, for example "cannot read /etc/passwd".
    pub(crate) fn io(failed: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let failed = failed.into();
        move |source| Self::Io { failed, source }
    }
}
