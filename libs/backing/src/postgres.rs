//! A Postgres server and its data folder.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::account::Account;
use crate::find::PostgresPrograms;
use crate::supervisor::{Program, SupervisedServer};
use crate::{BackingError, create_folder, find, password, port, write_secret};

/// The superuser that initdb creates.
const SUPERUSER: &str = "sealbus_admin";
/// How long a start may take until the server accepts connections, crash recovery included.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);

/// The place and durability of a Postgres server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The folder of its data, password and log. It is created if it does not exist.
    pub folder: PathBuf,
    /// The port to listen on, or `None` for a free one.
    pub port: Option<u16>,
    /// Whether the folder is removed when the server is stopped or this process ends.
    pub ephemeral: bool,
    /// Whether commits are flushed to the disk. Without it a power failure may lose or corrupt the data.
    pub fsync: bool,
}

/// A running Postgres on 127.0.0.1. It is stopped when this is dropped.
pub struct Postgres {
    cluster: Cluster,
    port: u16,
    password: String,
    /// The server's process, which can be watched, stopped and killed.
    pub process: SupervisedServer,
}

/// The data folder and the programs, which stay the same when the server is restarted.
struct Cluster {
    programs: PostgresPrograms,
    account: Option<Account>,
    options: PostgresOptions,
    /// Whether the folder in `options` is not the requested one.
    relocated: bool,
}

impl Postgres {
    /// Starts a server on the data in the folder, which is initialised if it has no data, and waits up to a minute
    /// until it accepts connections.
    ///
    /// If this process is root, the server runs as another user. If that user cannot enter the folder, the data goes to
    /// a folder under /var/tmp, which [`Self::relocated_to`] returns.
    pub async fn start(options: PostgresOptions) -> Result<Self, BackingError> {
        let cluster = Cluster::prepare(options)?;
        let password = cluster.initialise().await?;
        let spawn = async |port| cluster.spawn(port).await;
        let (port, process) = port::start_server("Postgres", cluster.options.port, spawn).await?;
        Ok(Self { cluster, port, password, process })
    }

    /// The URL of a database for the superuser.
    pub fn admin_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// The URL of a database for any user.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the data if it is not the requested one.
    pub fn relocated_to(&self) -> Option<&Path> {
        self.cluster.relocated.then_some(self.cluster.options.folder.as_path())
    }

    /// The folder of the data, `PGDATA`.
    pub fn data(&self) -> PathBuf {
        self.cluster.data()
    }

    /// Starts the server again after a stop or a kill, with the same port and data.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.process = self.cluster.spawn(self.port).await?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.remove_folder_if_ended();
    }
}

impl Cluster {
    /// Finds the programs and the user, and creates the folder.
    fn prepare(mut options: PostgresOptions) -> Result<Self, BackingError> {
        let programs = find::postgres()?;
        let account = Account::for_postgres()?;
        options.folder = create_folder(&options.folder, account)?;
        let relocated = account.is_some_and(|account| !account.can_enter(&options.folder));
        if relocated {
            options.folder = fallback_folder(&options.folder, account)?;
        }
        Ok(Self { programs, account, options, relocated })
    }

    fn data(&self) -> PathBuf {
        self.options.folder.join("data")
    }

    /// Creates the data if the folder has no data, and returns the superuser's password.
    async fn initialise(&self) -> Result<String, BackingError> {
        let data = self.data();
        if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
            let running = self.programs.major;
            if version.trim() != running.to_string() {
                return Err(BackingError::DataVersion { path: data, found: version.trim().into(), running });
            }
            let password_file = self.options.folder.join("password");
            return std::fs::read_to_string(&password_file)
                .map_err(BackingError::io(format!("cannot read {}", password_file.display())));
        }
        // Data without PG_VERSION was left by an initdb that did not finish. Usually there is nothing to remove.
        let _ = std::fs::remove_dir_all(&data);
        let password = password();
        let password_file = write_secret(&self.options.folder, "password", &password, self.account)?;
        let mut initdb = std::process::Command::new(self.programs.bin.join("initdb"));
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&password_file).current_dir("/").stdin(Stdio::null());
        initdb.args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        if let Some(account) = self.account {
            account.apply(&mut initdb);
        }
        let output =
            tokio::process::Command::from(initdb).output().await.map_err(BackingError::io("cannot run initdb"))?;
        if output.status.success() {
            return Ok(password);
        }
        let (log, tail) = (self.options.folder.join("log"), String::from_utf8_lossy(&output.stderr).trim().to_owned());
        Err(BackingError::Exited { server: "initdb", status: output.status.to_string(), log, tail })
    }

    /// Starts a server and waits until it is ready.
    async fn spawn(&self, port: u16) -> Result<SupervisedServer, BackingError> {
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            format!("fsync={}", if self.options.fsync { "on" } else { "off" }),
            "max_connections=500".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), self.data().display().to_string()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let mut server = SupervisedServer::spawn(Program {
            name: "Postgres",
            path: &self.programs.bin.join("postgres"),
            arguments: &arguments,
            stop_signal: "INT",
            account: self.account,
            folder: &self.options.folder,
            ephemeral: self.options.ephemeral,
        })
        .await?;
        let pid = server.pid();
        server.until_ready(STARTUP_TIMEOUT, async || self.is_ready(pid)).await?;
        Ok(server)
    }

    /// Returns whether the server accepts connections. Like `pg_ctl`, it reads the eighth line of `postmaster.pid`; the
    /// first line tells whether the file was written by this server.
    fn is_ready(&self, server: u32) -> bool {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(server.to_string().as_str()) && lines.nth(6).map(str::trim) == Some("ready")
    }
}

/// Returns a folder under /var/tmp for data that was requested in a folder which Postgres' user cannot enter. It is
/// named after the requested folder, so that the next start finds it again.
fn fallback_folder(requested: &Path, account: Option<Account>) -> Result<PathBuf, BackingError> {
    let name = requested.display().to_string().replace('/', "-");
    let folder = PathBuf::from(format!("/var/tmp/sealbus{name}"));
    // Anybody can write to /var/tmp. An existing path may be a link, whose target would be given to Postgres' user, or
    // a folder whose owner could read the data.
    match std::fs::create_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let existing = std::fs::symlink_metadata(&folder)
                .map_err(BackingError::io(format!("cannot read the owner of {}", folder.display())))?;
            let trusted = existing.uid() == 0 || account.is_some_and(|account| account.uid == existing.uid());
            if !existing.is_dir() || !trusted {
                return Err(BackingError::Unusable(format!(
                    "the data would go to {}, which is a link or belongs to another user; remove it, or choose a folder \
                     that Postgres' user can enter",
                    folder.display()
                )));
            }
        }
        created => created.map_err(BackingError::io(format!("cannot create {}", folder.display())))?,
    }
    create_folder(&folder, account)
}
