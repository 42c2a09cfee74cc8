//! Why a server of one's own did not start, or stopped.

use std::path::PathBuf;

/// Each says what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// No Postgres that is new enough.
    #[error(
        "no Postgres 15 or later was found (looked in {looked}); install Debian's package postgresql, or name a folder with SEALBUS_POSTGRES_BIN"
    )]
    NoPostgres {
        /// Where.
        looked: String,
    },
    /// No nats-server at all.
    #[error(
        "no nats-server was found (looked in {looked}); `make run` puts one into .tools/bin, or name one with SEALBUS_NATS_SERVER"
    )]
    NoNats {
        /// Where.
        looked: String,
    },
    /// A nats-server without what Sealbus needs.
    #[error(
        "{path} is nats-server {found}, and Sealbus needs 2.10 or later (Debian 12's own package is older); `make run` puts one into .tools/bin"
    )]
    NatsTooOld {
        /// The program.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// Data of another major version.
    #[error(
        "{path} holds data of Postgres {found} and this machine runs {running}; move the folder away to begin anew, or install Postgres {found}"
    )]
    OtherVersion {
        /// The data folder.
        path: PathBuf,
        /// What `PG_VERSION` says.
        found: String,
        /// The server's major version.
        running: u32,
    },
    /// A port that was asked for by name.
    #[error("port {port} was asked for {what} and is taken; free it, or leave it out and a free one is chosen")]
    PortTaken {
        /// Which server.
        what: &'static str,
        /// Which port.
        port: u16,
    },
    /// The folder has a server already, and keeps it.
    #[error("another {what} is running in {folder}; stop it, or choose another folder")]
    InUse {
        /// Which server.
        what: &'static str,
        /// Its folder.
        folder: PathBuf,
    },
    /// A folder outside our own that somebody else made.
    #[error(
        "{folder} is where the data would go, and it belongs to somebody else; remove it, or choose a folder that Postgres' user can get into"
    )]
    NotOurs {
        /// The folder, under /var/tmp.
        folder: PathBuf,
    },
    /// Root may not run Postgres, and there is nobody else.
    #[error(
        "Postgres does not run as root, and there is no user {user} to run it as; make one (`useradd --system {user}`) or name another with SEALBUS_POSTGRES_USER"
    )]
    NoUser {
        /// The user looked for.
        user: String,
    },
    /// The server ended before it was ready, or by itself.
    #[error("{what} stopped ({status}); the end of its log, {log}:\n{tail}")]
    Died {
        /// Which server.
        what: &'static str,
        /// Its exit status.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server never became ready.
    #[error("{what} was not ready within {seconds} s; see its log, {log}")]
    NotReady {
        /// Which server.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// A program could not be run, or a file not be written.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl BackingError {
    /// Whether another process was quicker to bind the port.
    pub(crate) fn lost_its_port(&self) -> bool {
        // Both servers give the system's words: Postgres with a capital, nats-server without.
        matches!(self, Self::Died { tail, .. } if tail.contains("ddress already in use"))
    }

    /// For `map_err`: names what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
