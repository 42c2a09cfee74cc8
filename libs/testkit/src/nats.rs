//! A nats-server of the test's own.

use sealbus_backing::NatsOptions;

/// A nats-server with JetStream; gone when dropped.
pub struct Nats {
    server: sealbus_backing::Nats,
}

impl Nats {
    /// Starts one on a free port with an empty store.
    pub async fn start() -> Self {
        // The server's shell removes it.
        let folder = tempfile::tempdir().expect("a folder for NATS").keep();
        let options = NatsOptions { folder, port: None, ephemeral: true, sync_always: false };
        let server = sealbus_backing::Nats::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        Self { server }
    }

    /// Its address, with its password.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts it again, on the same port and store.
    pub async fn restart(&mut self) {
        self.server.restart().await.unwrap_or_else(|error| panic!("{error}"));
    }
}
