//! A nats-server with JetStream on 127.0.0.1.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::tether::{Folder, Tethered};
use crate::{BackingError, find, password, port};

/// The one user that the server lets in.
const USER: &str = "sealbus";

/// Where and how.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The folder of its store, configuration and log; kept between runs.
    pub folder: PathBuf,
    /// A port by name, or a free one.
    pub port: Option<u16>,
    /// Remove the folder when the server is stopped, or this process gone.
    pub ephemeral: bool,
    /// Flush every message to the disk before it is acknowledged, instead of every two minutes.
    pub sync_always: bool,
}

/// A running server; stopped when dropped.
pub struct Nats {
    options: NatsOptions,
    program: PathBuf,
    port: u16,
    password: String,
    server: Tethered,
}

impl Nats {
    /// Starts it and waits until JetStream answers.
    pub async fn start(mut options: NatsOptions) -> Result<Self, BackingError> {
        let program = find::nats_server()?;
        options.folder = std::path::absolute(&options.folder).map_err(BackingError::io("finding the folder"))?;
        std::fs::create_dir_all(&options.folder)
            .map_err(BackingError::io(format!("making {}", options.folder.display())))?;
        // A free port may be taken by another process before the server binds it.
        let mut tries = 3;
        loop {
            tries -= 1;
            let port = port::choose("nats-server", options.port)?;
            let password = password();
            match spawn(&program, &options, port, &password).await {
                Ok(server) => return Ok(Self { options, program, port, password, server }),
                Err(error) if tries > 0 && error.lost_its_port() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its address with its password.
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// The user and password in the address, for clients that want them apart.
    pub fn login(&self) -> (&str, &str) {
        (USER, &self.password)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it ends by itself, and says how.
    pub async fn died(&mut self) -> BackingError {
        self.server.died().await
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) {
        let server = self.server.pid();
        self.server.kill(&[server]).await;
    }

    /// Starts it again after a stop or a kill: same port, same store, same password.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.server = spawn(&self.program, &self.options, self.port, &self.password).await?;
        Ok(())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.server.sweep(Folder { path: &self.options.folder, ephemeral: self.options.ephemeral });
    }
}

async fn spawn(program: &Path, options: &NatsOptions, port: u16, password: &str) -> Result<Tethered, BackingError> {
    let folder = options.folder.as_path();
    // Told apart from a stranger who was quicker to bind the port.
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
    let mut server = Tethered::spawn(
        "nats-server",
        program,
        &arguments,
        "TERM",
        None,
        Folder { path: folder, ephemeral: options.ephemeral },
    )
    .await?;
    server.until_ready(Duration::from_secs(30), async || greets(port, &name).await).await?;
    Ok(server)
}

/// Whether the server of this name greets with JetStream on.
async fn greets(port: u16, name: &str) -> bool {
    let Ok(connection) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut greeting = String::new();
    let read = BufReader::new(connection).read_line(&mut greeting).await;
    read.is_ok() && greeting.starts_with("INFO ") && greeting.contains(name) && greeting.contains("\"jetstream\":true")
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, text: &str) -> Result<(), BackingError> {
    let doing = || format!("writing {}", path.display());
    let file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(BackingError::io(doing()))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(BackingError::io(doing()))?;
    std::io::Write::write_all(&mut &file, text.as_bytes()).map_err(BackingError::io(doing()))
}
