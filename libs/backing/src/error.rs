//! Errors of starting and running a server.

use std::path::PathBuf;

/// The reason why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// No Postgres of a supported version was found.
    #[error(
        "no Postgres 15 or later was found (looked in {looked}); install Debian's package postgresql, or name its folder with SEALBUS_POSTGRES_BIN"
    )]
    NoPostgres {
        /// The places that were searched.
        looked: String,
    },
    /// No nats-server was found.
    #[error(
        "no nats-server was found (looked in {looked}); `make backing` installs one into .tools/bin, or name one with SEALBUS_NATS_SERVER"
    )]
    NoNats {
        /// The places that were searched.
        looked: String,
    },
    /// The only nats-server that was found is too old.
    #[error(
        "{path} is nats-server {found}, but 2.10 or later is needed (Debian 12's package is older); `make backing` installs one into .tools/bin"
    )]
    NatsTooOld {
        /// The program.
        path: PathBuf,
        /// The version of the program.
        found: String,
    },
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
    /// The fallback folder under /var/tmp is a link, or belongs to another user.
    #[error(
        "the data would go to {folder}, which is a link or belongs to another user; remove it, or choose a folder that Postgres' user can enter"
    )]
    UntrustedFolder {
        /// The folder, under /var/tmp.
        folder: PathBuf,
    },
    /// This process is root, and the user to run Postgres as does not exist.
    #[error(
        "Postgres does not run as root, and there is no user {user} to run it as; create it (`useradd --system {user}`), or name another with SEALBUS_POSTGRES_USER"
    )]
    NoUser {
        /// The name of the user.
        user: String,
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
    /// The server runs, but did not become ready in time.
    #[error("{server} was not ready within {seconds} s; see its log, {log}")]
    NotReady {
        /// The kind of server.
        server: &'static str,
        /// The time that was waited for the server, in seconds.
        seconds: u64,
        /// The path of the server's log.
        log: PathBuf,
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
