//! A TCP proxy in front of a server, for tests of what happens when the network fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A proxy on a port of its own. Dropping it closes all connections.
pub struct Proxy {
    url: String,
    network: watch::Sender<Network>,
    /// The bytes that clients can send before the open connections freeze.
    left: Arc<AtomicU64>,
    server: watch::Sender<String>,
    task: AbortHandle,
}

/// The state of the network that the proxy simulates.
#[derive(Clone, Copy)]
struct Network {
    /// The number of times that the open connections were frozen.
    freezes: u64,
    /// Whether new connections are forwarded. Otherwise they are closed at once.
    accepts: bool,
}

impl Proxy {
    /// Starts to forward to the server of this URL, which has a user, an address and a port.
    pub async fn start(url: &str) -> Self {
        let (before, server, path) = parts(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let network = watch::Sender::new(Network { freezes: 0, accepts: true });
        let (server, target) = watch::channel(server.to_owned());
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let task = tokio::spawn(accept(listener, target, network.clone(), left.clone())).abort_handle();
        Self { url: format!("{before}@{address}{path}"), network, left, server, task }
    }

    /// Returns the URL with the address of the proxy in place of the server's.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops forwarding on all open connections; neither side is closed. Forwards new connections.
    pub fn freeze(&self) {
        self.network.send_modify(|network| network.freezes += 1);
    }

    /// Freezes all open connections once clients have sent this many further bytes.
    pub fn freeze_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// Forwards new connections to the server of another URL. Open ones stay where they are.
    pub fn redirect(&self, url: &str) {
        self.server.send_replace(parts(url).1.to_owned());
    }

    /// Closes new connections at once.
    pub fn refuse(&self) {
        self.network.send_modify(|network| network.accepts = false);
    }

    /// Forwards new connections again.
    pub fn accept(&self) {
        self.network.send_modify(|network| network.accepts = true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns what is before the `@` of a URL, the address and port of its server, and the rest.
fn parts(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.split_once('@').expect("the URL has a user");
    let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (before, server, path)
}

async fn accept(
    listener: TcpListener,
    server: watch::Receiver<String>,
    network: watch::Sender<Network>,
    left: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Network { freezes, accepts } = *network.borrow();
        let server = server.borrow().clone();
        if accepts && let Ok(server) = TcpStream::connect(&server).await {
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let count = {
                let (network, left) = (network.clone(), left.clone());
                move |sent| {
                    if left.fetch_sub(sent, Ordering::Relaxed) < sent {
                        left.store(u64::MAX, Ordering::Relaxed);
                        network.send_modify(|network| network.freezes += 1);
                    }
                }
            };
            connections.spawn(forward(from_client, to_server, freezes, network.subscribe(), count));
            connections.spawn(forward(from_server, to_client, freezes, network.subscribe(), |_| ()));
        }
    }
}

/// Forwards one direction of a connection until the network is frozen. `count` is told how many bytes are forwarded.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    freezes: u64,
    mut network: watch::Receiver<Network>,
    count: impl Fn(u64),
) {
    let copied = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read) = from.read(&mut buffer).await
            && read > 0
            && to.write_all(&buffer[..read]).await.is_ok()
        {
            count(read as u64);
        }
        let _ = to.shutdown().await;
    };
    let frozen = async { network.wait_for(|network| network.freezes > freezes).await.map(drop) };
    tokio::select! {
        () = copied => {}
        Ok(()) = frozen => std::future::pending().await,
    }
}
