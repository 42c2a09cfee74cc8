//! A Postgres server and its data folder.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;

use crate::account::Account;
use crate::find::PostgresPrograms;
use crate::supervisor::{Folder, Program, SupervisedServer};
use crate::{BackingError, find, password, port};

/// The superuser that initdb creates.
const SUPERUSER: &str = "sealbus_admin";
/// How long a start may take until the server accepts connections, crash recovery included.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);
/// The number of free ports that are tried if other processes bind them first.
const MAX_PORT_ATTEMPTS: usize = 3;

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
    server: SupervisedServer,
}

/// The data folder and the programs, which stay the same when the server is restarted.
struct Cluster {
    programs: PostgresPrograms,
    account: Option<Account>,
    folder: PathBuf,
    /// Whether `folder` is not the requested one.
    relocated: bool,
    ephemeral: bool,
    fsync: bool,
}

impl Postgres {
    /// Starts a server on the data in the folder, which is initialised if it has no data, and waits up to a minute
    /// until it accepts connections.
    ///
    /// If this process is root, the server runs as another user. If that user cannot enter the folder, the data goes to
    /// a folder under /var/tmp, which [`Self::relocated_to`] returns.
    pub async fn start(options: PostgresOptions) -> Result<Self, BackingError> {
        let cluster = Cluster::prepare(&options)?;
        let password = cluster.initialise().await?;
        // A free port may be taken by another process before the server binds it.
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = port::choose("Postgres", options.port)?;
            match cluster.spawn(port).await {
                Ok(server) => return Ok(Self { cluster, port, password, server }),
                Err(error) if attempts < MAX_PORT_ATTEMPTS && error.is_port_conflict() => {}
                Err(error) => return Err(error),
            }
        }
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
        self.cluster.relocated.then_some(self.cluster.folder.as_path())
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the server ends without having been stopped, and returns its exit status and the end of its log.
    pub async fn exited(&mut self) -> BackingError {
        self.server.exited().await
    }

    /// Stops the server cleanly with a fast shutdown, and waits until it has ended.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Kills the server and all its child processes with SIGKILL, as a crash would end them.
    pub async fn kill(&mut self) {
        let mut processes = vec![self.server.pid()];
        processes.extend(children(self.server.pid()));
        self.server.kill(&processes).await;
    }

    /// Starts the server again after a stop or a kill, with the same port and data.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.server = self.cluster.spawn(self.port).await?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.remove_folder_if_ended(self.cluster.folder());
    }
}

impl Cluster {
    /// Finds the programs and the user, and creates the folder.
    fn prepare(options: &PostgresOptions) -> Result<Self, BackingError> {
        let programs = find::postgres()?;
        let account = Account::for_postgres()?;
        let requested = std::path::absolute(&options.folder).map_err(BackingError::io("cannot resolve the folder"))?;
        create_folder(&requested, account)?;
        let relocated = account.is_some_and(|account| !account.can_enter(&requested));
        let folder = if relocated { fallback_folder(&requested, account)? } else { requested };
        Ok(Self { programs, account, folder, relocated, ephemeral: options.ephemeral, fsync: options.fsync })
    }

    fn folder(&self) -> Folder<'_> {
        Folder { path: &self.folder, ephemeral: self.ephemeral }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Creates the data if the folder has no data, and returns the superuser's password.
    async fn initialise(&self) -> Result<String, BackingError> {
        let password_file = self.folder.join("password");
        let data = self.data();
        if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
            let running = self.programs.major;
            if version.trim() != running.to_string() {
                return Err(BackingError::DataVersion { path: data, found: version.trim().into(), running });
            }
            return std::fs::read_to_string(&password_file)
                .map_err(BackingError::io(format!("cannot read {}", password_file.display())));
        }
        // Data without PG_VERSION was left by an initdb that did not finish. Usually there is nothing to remove.
        let _ = std::fs::remove_dir_all(&data);
        let password = password();
        std::fs::write(&password_file, &password)
            .map_err(BackingError::io(format!("cannot write {}", password_file.display())))?;
        std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600))
            .map_err(BackingError::io("cannot restrict the password file"))?;
        if let Some(account) = self.account {
            account.own(&password_file)?;
        }
        let mut initdb = std::process::Command::new(self.programs.bin.join("initdb"));
        initdb
            .arg("-D")
            .arg(&data)
            .arg(format!("--pwfile={}", password_file.display()))
            .current_dir("/")
            .stdin(Stdio::null());
        initdb.args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        if let Some(account) = self.account {
            account.apply(&mut initdb);
        }
        let output =
            tokio::process::Command::from(initdb).output().await.map_err(BackingError::io("cannot run initdb"))?;
        if output.status.success() {
            return Ok(password);
        }
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(BackingError::Exited {
            server: "initdb",
            status: output.status.to_string(),
            log: self.folder.join("log"),
            tail,
        })
    }

    /// Starts a server and waits until it is ready.
    async fn spawn(&self, port: u16) -> Result<SupervisedServer, BackingError> {
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            format!("fsync={}", if self.fsync { "on" } else { "off" }),
            "max_connections=200".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), self.data().display().to_string()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let program = Program {
            name: "Postgres",
            path: &self.programs.bin.join("postgres"),
            arguments: &arguments,
            stop_signal: "INT",
            account: self.account,
        };
        let mut server = SupervisedServer::spawn(program, self.folder()).await?;
        let pid = server.pid();
        server.until_ready(STARTUP_TIMEOUT, async || self.is_ready(pid)).await?;
        Ok(server)
    }

    /// Returns whether the server accepts connections. Like `pg_ctl`, it reads the eighth line of `postmaster.pid`; the
    /// first line tells whether the file was written by this server.
    fn is_ready(&self, server: Pid) -> bool {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(server.as_raw_nonzero().to_string().as_str())
            && lines.nth(6).map(str::trim) == Some("ready")
    }
}

/// Creates a folder that Postgres' user owns, unless it exists.
fn create_folder(folder: &Path, account: Option<Account>) -> Result<(), BackingError> {
    std::fs::create_dir_all(folder).map_err(BackingError::io(format!("cannot create {}", folder.display())))?;
    account.map_or(Ok(()), |account| account.own(folder))
}

/// Returns a folder under /var/tmp for data that was requested in a folder which Postgres' user cannot enter. It is
/// named after the requested folder, so that the next start finds it again.
fn fallback_folder(requested: &Path, account: Option<Account>) -> Result<PathBuf, BackingError> {
    let name = requested.display().to_string().replace('/', "-");
    let folder = PathBuf::from(format!("/var/tmp/sealbus{name}"));
    // Anybody can write to /var/tmp. An existing path may be a link, whose target would be given to Postgres' user, or
    // a folder whose owner could read the data.
    match std::fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(BackingError::io(format!("cannot create {}", folder.display()))(error));
        }
        Err(_) => {
            let existing = std::fs::symlink_metadata(&folder)
                .map_err(BackingError::io(format!("cannot read the owner of {}", folder.display())))?;
            let trusted = existing.uid() == 0 || account.is_some_and(|account| account.uid == existing.uid());
            if !existing.is_dir() || !trusted {
                return Err(BackingError::UntrustedFolder { folder });
            }
        }
    }
    create_folder(&folder, account)?;
    Ok(folder)
}

/// Returns the child processes of a process, read from /proc.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // The format is `pid (command) state ppid …`. The command may contain spaces and brackets: count from its end.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(parent.as_str())
    })
    .filter_map(Pid::from_raw)
    .collect()
}
