//! A nats-server with JetStream.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::supervisor::{Program, SupervisedServer};
use crate::{BackingError, create_folder, find, password, port, write_secret};

/// The only user of the server.
const USER: &str = "sealbus";
/// How long a start may take until JetStream is available.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The place of a nats-server. Messages are flushed to the disk every two minutes.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The folder of its store, configuration and log. It is created if it does not exist.
    pub folder: PathBuf,
    /// The port to listen on, or `None` for a free one.
    pub port: Option<u16>,
    /// Whether the folder is removed when the server is stopped or this process ends.
    pub ephemeral: bool,
}

/// A running nats-server on 127.0.0.1. It is stopped when this is dropped.
pub struct Nats {
    options: NatsOptions,
    program: PathBuf,
    port: u16,
    password: String,
    /// The server's process, which can be watched, stopped and killed.
    pub process: SupervisedServer,
}

impl Nats {
    /// Starts a server and waits up to 30 s until JetStream is available.
    pub async fn start(mut options: NatsOptions) -> Result<Self, BackingError> {
        let program = find::nats_server()?;
        options.folder = create_folder(&options.folder, None)?;
        let password = password();
        let spawn = async |port| spawn(&program, &options, port, &password).await;
        let (port, process) = port::start_server("nats-server", options.port, spawn).await?;
        Ok(Self { options, program, port, password, process })
    }

    /// The URL with user and password.
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The user and the password, for clients that do not read them from a URL.
    pub fn login(&self) -> (&str, &str) {
        (USER, &self.password)
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server again after a stop or a kill, with the same port, store and password.
    pub async fn restart(&mut self) -> Result<(), BackingError> {
        self.process = spawn(&self.program, &self.options, self.port, &self.password).await?;
        Ok(())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.process.remove_folder_if_ended();
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
    let configuration = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: {name}\nmax_payload: 1MB\njetstream {{ store_dir: \"{}\" }}\n\
         authorization {{ user: {USER}, password: \"{password}\" }}\n",
        folder.join("store").display(),
    );
    let path = write_secret(folder, "nats.conf", &configuration, None)?;
    let arguments = ["-c".to_owned(), path.display().to_string()];
    let mut server = SupervisedServer::spawn(Program {
        name: "nats-server",
        path: program,
        arguments: &arguments,
        stop_signal: "TERM",
        account: None,
        folder,
        ephemeral: options.ephemeral,
    })
    .await?;
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
