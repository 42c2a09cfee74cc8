//! A Postgres on 127.0.0.1, in a folder of its own.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;

use crate::account::Account;
use crate::tether::{Folder, Tethered};
use crate::{BackingError, find, password, port};

/// The superuser that initdb makes.
const SUPERUSER: &str = "sealbus_admin";

/// Where and how.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The folder of its data, password and log; kept between runs.
    pub folder: PathBuf,
    /// A port by name, or a free one.
    pub port: Option<u16>,
    /// Remove the folder when the server is stopped, or this process gone.
    pub ephemeral: bool,
    /// Whether a commit reaches the disk. Off only where losing the data with the power does not matter.
    pub fsync: bool,
}

/// A running server; stopped when dropped.
pub struct Postgres {
    place: Place,
    port: u16,
    password: String,
    server: Tethered,
}

/// What does not change between starts.
struct Place {
    bin: PathBuf,
    account: Option<Account>,
    folder: PathBuf,
    /// Told to the user where it is not what was asked for.
    moved: bool,
    ephemeral: bool,
    fsync: bool,
}

impl Postgres {
    /// Starts it, on data that is there or newly made, and waits until it answers.
    ///
    /// Where this process is root, the server runs as another user; where that user cannot get into the folder, the data lies
    /// under /var/tmp instead, and [`Self::moved_to`] says where.
    pub async fn start(options: PostgresOptions) -> Result<Self, BackingError> {
        let place = Place::find(&options)?;
        let password = place.initialise().await?;
        // A free port may be taken by another process before the server binds it.
        let mut tries = 3;
        loop {
            tries -= 1;
            let port = port::choose("Postgres", options.port)?;
            match place.spawn(port).await {
                Ok(server) => return Ok(Self { place, port, password, server }),
                Err(error) if tries > 0 && error.lost_its_port() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// An address of the superuser, in a database of this name.
    pub fn admin_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// An address of any user.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the data lies, if not where it was asked for.
    pub fn moved_to(&self) -> Option<&Path> {
        self.place.moved.then_some(self.place.folder.as_path())
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it ends by itself, and says how.
    pub async fn died(&mut self) -> BackingError {
        self.server.died().await
    }

    /// Stops it cleanly (a fast shutdown).
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Kills the server and every process of it, as a crash would.
    pub async fn kill(&mut self) {
        let mut processes = vec![self.server.pid()];
        processes.extend(children(self.server.pid()));
        self.server.kill(&processes).await;
    }

    /// Starts it again after a stop or a kill: same port, same data.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.server = self.place.spawn(self.port).await?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.sweep(self.place.folder());
    }
}

impl Place {
    fn find(options: &PostgresOptions) -> Result<Self, BackingError> {
        let bin = find::postgres_bin()?;
        let account = Account::for_postgres()?;
        let folder = std::path::absolute(&options.folder).map_err(BackingError::io("finding the folder"))?;
        let make = |folder: &Path| {
            std::fs::create_dir_all(folder).map_err(BackingError::io(format!("making {}", folder.display())))?;
            account.map_or(Ok(()), |account| account.own(folder))
        };
        make(&folder)?;
        if account.is_none_or(|account| account.can_enter(&folder)) {
            return Ok(Self { bin, account, folder, moved: false, ephemeral: options.ephemeral, fsync: options.fsync });
        }
        // The same place at the next run: the path itself, readably.
        let elsewhere = PathBuf::from(format!("/var/tmp/sealbus{}", folder.display().to_string().replace('/', "-")));
        // Anybody may write to /var/tmp, so what lies there under this name may be a trap: a link to give away, or a folder
        // whose owner reads the data.
        match std::fs::create_dir(&elsewhere) {
            Ok(()) => {}
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(BackingError::io(format!("making {}", elsewhere.display()))(error));
            }
            Err(_) => {
                let there = std::fs::symlink_metadata(&elsewhere)
                    .map_err(BackingError::io(format!("looking at {}", elsewhere.display())))?;
                if !there.is_dir() || !(there.uid() == 0 || account.is_some_and(|account| account.uid == there.uid())) {
                    return Err(BackingError::NotOurs { folder: elsewhere });
                }
            }
        }
        make(&elsewhere)?;
        Ok(Self { bin, account, folder: elsewhere, moved: true, ephemeral: options.ephemeral, fsync: options.fsync })
    }

    fn folder(&self) -> Folder<'_> {
        Folder { path: &self.folder, ephemeral: self.ephemeral }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes the data where there is none; gives the superuser's password.
    async fn initialise(&self) -> Result<String, BackingError> {
        let kept = self.folder.join("password");
        let data = self.data();
        if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
            let running = find::postgres_major(&self.bin).unwrap_or_default();
            if version.trim() != running.to_string() {
                return Err(BackingError::OtherVersion { path: data, found: version.trim().into(), running });
            }
            return std::fs::read_to_string(&kept).map_err(BackingError::io(format!("reading {}", kept.display())));
        }
        // What is there without PG_VERSION is what an initdb left that was broken off.
        let _ = std::fs::remove_dir_all(&data);
        let password = password();
        std::fs::write(&kept, &password).map_err(BackingError::io(format!("writing {}", kept.display())))?;
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o600))
            .map_err(BackingError::io("closing the password file"))?;
        if let Some(account) = self.account {
            account.own(&kept)?;
        }
        let mut initdb = std::process::Command::new(self.bin.join("initdb"));
        initdb.arg("-D").arg(&data).arg(format!("--pwfile={}", kept.display())).current_dir("/").stdin(Stdio::null());
        initdb.args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        if let Some(account) = self.account {
            account.apply(&mut initdb);
        }
        let output =
            tokio::process::Command::from(initdb).output().await.map_err(BackingError::io("running initdb"))?;
        if output.status.success() {
            return Ok(password);
        }
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(BackingError::Died {
            what: "initdb",
            status: output.status.to_string(),
            log: self.folder.join("log"),
            tail,
        })
    }

    async fn spawn(&self, port: u16) -> Result<Tethered, BackingError> {
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            format!("fsync={}", if self.fsync { "on" } else { "off" }),
            "max_connections=200".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), self.data().display().to_string()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let mut server =
            Tethered::spawn("Postgres", &self.bin.join("postgres"), &arguments, "INT", self.account, self.folder())
                .await?;
        let pid = server.pid();
        server.until_ready(Duration::from_mins(1), async || self.is_ready(pid)).await?;
        Ok(server)
    }

    /// Whether this very server takes connections: its file says so in its eighth line, as `pg_ctl` reads it.
    fn is_ready(&self, server: Pid) -> bool {
        let said = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = said.lines();
        lines.next() == Some(server.as_raw_nonzero().to_string().as_str())
            && lines.nth(6).map(str::trim) == Some("ready")
    }
}

/// The processes whose parent is this one, by /proc.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbered
        .filter(|pid| {
            // pid (command) state ppid …: the command may hold spaces and brackets, so count from its end.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(parent.as_str())
        })
        .filter_map(Pid::from_raw)
        .collect()
}
