//! A nats-server with JetStream.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::supervisor::{Folder, Program, SupervisedServer};
use crate::{BackingError, find, password, port};

/// The only user of the server.
const USER: &str = "sealbus";
/// How long a start may take until JetStream is available.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// The number of free ports that are tried if other processes bind them first.
const MAX_PORT_ATTEMPTS: usize = 3;

/// The place and durability of a nats-server.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The folder of its store, configuration and log. It is created if it does not exist.
    pub folder: PathBuf,
    /// The port to listen on, or `None` for a free one.
    pub port: Option<u16>,
    /// Whether the folder is removed when the server is stopped or this process ends.
    pub ephemeral: bool,
    /// Whether each message is flushed to the disk before it is acknowledged, instead of every two minutes.
    pub sync_always: bool,
}

/// A running nats-server on 127.0.0.1. It is stopped when this is dropped.
pub struct Nats {
    options: NatsOptions,
    program: PathBuf,
    port: u16,
    password: String,
    server: SupervisedServer,
}

impl Nats {
    /// Starts a server and waits up to 30 s until JetStream is available.
    pub async fn start(mut options: NatsOptions) -> Result<Self, BackingError> {
        let program = find::nats_server()?;
        options.folder = std::path::absolute(&options.folder).map_err(BackingError::io("cannot resolve the folder"))?;
        std::fs::create_dir_all(&options.folder)
            .map_err(BackingError::io(format!("cannot create {}", options.folder.display())))?;
        // A free port may be taken by another process before the server binds it.
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = port::choose("nats-server", options.port)?;
            let password = password();
            match spawn(&program, &options, port, &password).await {
                Ok(server) => return Ok(Self { options, program, port, password, server }),
                Err(error) if attempts < MAX_PORT_ATTEMPTS && error.is_port_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The URL with user and password.
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// The user and the password, for clients that do not read them from a URL.
    pub fn login(&self) -> (&str, &str) {
        (USER, &self.password)
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the server ends without having been stopped, and returns its exit status and the end of its log.
    pub async fn exited(&mut self) -> BackingError {
        self.server.exited().await
    }

    /// Stops the server cleanly and waits until it has ended.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Kills the server with SIGKILL, as a crash would end it.
    pub async fn kill(&mut self) {
        let server = self.server.pid();
        self.server.kill(&[server]).await;
    }

    /// Starts the server again after a stop or a kill, with the same port, store and password.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.server = spawn(&self.program, &self.options, self.port, &self.password).await?;
        Ok(())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.server.remove_folder_if_ended(Folder { path: &self.options.folder, ephemeral: self.options.ephemeral });
    }
}

/// Starts a server and waits until it is ready.
async fn spawn(
    program: &Path,
    options: &NatsOptions,
    port: u16,
    password: &str,
) -> Result<SupervisedServer, BackingError> {
    let folder = options.folder.as_path();
    // The random name distinguishes this server from another process that has bound the port first.
    let name = format!("sealbus-{}", Uuid::new_v4().simple());
    let sync = if options.sync_always { ", sync_interval: always" } else { "" };
    let configuration = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: {name}\nmax_payload: 1MB\njetstream {{ store_dir: \"{}\"{sync} }}\n\
         authorization {{ user: {USER}, password: \"{password}\" }}\n",
        folder.join("store").display(),
    );
    let path = folder.join("nats.conf");
    write_secret(&path, &configuration)?;
    let arguments = ["-c".to_owned(), path.display().to_string()];
    let program =
        Program { name: "nats-server", path: program, arguments: &arguments, stop_signal: "TERM", account: None };
    let mut server = SupervisedServer::spawn(program, Folder { path: folder, ephemeral: options.ephemeral }).await?;
    server.until_ready(STARTUP_TIMEOUT, async || is_ready(port, &name).await).await?;
    Ok(server)
}

/// Returns whether the server of this name answers on the port with JetStream enabled.
async fn is_ready(port: u16, name: &str) -> bool {
    let Ok(connection) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut greeting = String::new();
    let read = BufReader::new(connection).read_line(&mut greeting).await;
    read.is_ok() && greeting.starts_with("INFO ") && greeting.contains(name) && greeting.contains("\"jetstream\":true")
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), BackingError> {
    let failed = || format!("cannot write {}", path.display());
    let file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(BackingError::io(failed()))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(BackingError::io(failed()))?;
    std::io::Write::write_all(&mut &file, text.as_bytes()).map_err(BackingError::io(failed()))
}
