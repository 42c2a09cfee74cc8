//! Running all roles in this process, each with its own settings.

use std::time::Duration;

use sealbus_backing::free_port;
use sealbus_runtime::settings::table;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use crate::failure::Failure;
use crate::roles::{Role, serve};

/// Connections of each role. Postgres accepts 200 in dev, which is enough for 16 replicas of each role.
const CONNECTIONS_PER_ROLE: &str = "6";
/// How long all roles together may take until they are ready.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);

/// How often readiness is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The running roles.
pub(super) struct Bus {
    /// The shared environment, with the URLs of the publishers and the listen addresses of the first one.
    pub environment: Environment,
    /// The URL of every publisher.
    pub urls: Vec<String>,
    /// Receives the failure of the first role that ends without being stopped.
    pub failed: mpsc::Receiver<Failure>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Bus {
    /// Starts `replicas` publishers and relays, a sealer and a dispatcher, and waits until all are ready. `port` is the first
    /// publisher's.
    pub(super) async fn start(environment: &Environment, port: Option<u16>, replicas: u32) -> Result<Self, Failure> {
        let (failure_sender, failed) = mpsc::channel(1);
        let mut bus = Self {
            environment: environment.clone(),
            urls: Vec::new(),
            failed,
            tasks: JoinSet::new(),
            shutdown: CancellationToken::new(),
        };
        let mut probes = Vec::new();
        for replica in 0..replicas {
            let listen = local(match port {
                Some(port) if replica == 0 => port,
                _ => free_port()?,
            });
            bus.urls.push(format!("http://{listen}"));
            probes.push(bus.spawn(Role::Publisher, &listen, &failure_sender)?);
            if replica == 0 {
                bus.environment.set(table::LISTEN.name(), listen);
                bus.environment.set(table::ADMIN_LISTEN.name(), probes[0].clone());
            }
        }
        for _ in 0..replicas {
            probes.push(bus.spawn(Role::Relay, &local(0), &failure_sender)?);
        }
        probes.push(bus.spawn(Role::Sealer, &local(0), &failure_sender)?);
        probes.push(bus.spawn(Role::Dispatcher, &local(0), &failure_sender)?);
        bus.environment.set(table::URL.name(), bus.urls[0].clone());
        bus.environment.set(table::URLS.name(), bus.urls.join(","));
        let ready = tokio::select! {
            ready = tokio::time::timeout(STARTUP_TIMEOUT, until_ready(&probes)) => {
                ready.map_err(|_| Failure::new("the roles were not ready within a minute; run again with SEALBUS_LOG=info"))
            }
            failure = bus.failed.recv() => Err(failure.unwrap_or_else(|| Failure::new("a role ended by itself"))),
        };
        match ready {
            Ok(()) => Ok(bus),
            Err(failure) => {
                bus.stop().await;
                Err(failure)
            }
        }
    }

    /// Stops all roles, and waits until they have ended.
    pub(super) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Starts a role, and returns the address of its probes.
    fn spawn(&mut self, role: Role, listen: &str, failure_sender: &mpsc::Sender<Failure>) -> Result<String, Failure> {
        let admin = local(free_port()?);
        let settings = self.environment.settings(&[
            (table::LISTEN.name(), listen.to_owned()),
            (table::ADMIN_LISTEN.name(), admin.clone()),
            (table::DATABASE_CONNECTIONS.name(), CONNECTIONS_PER_ROLE.to_owned()),
        ])?;
        let (shutdown, failure_sender) = (self.shutdown.clone(), failure_sender.clone());
        self.tasks.spawn(async move {
            let outcome = serve(role, &settings, shutdown.clone()).await;
            if !shutdown.is_cancelled() {
                let failure = outcome.err().unwrap_or_else(|| Failure::new(format!("the {role:?} ended by itself")));
                // Only the first failure is reported; there is no room for a second one.
                let _ = failure_sender.try_send(failure);
            }
        });
        Ok(admin)
    }
}

/// Returns an address on this machine.
fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Waits until all probes report readiness.
async fn until_ready(probes: &[String]) {
    let http = reqwest::Client::new();
    for probe in probes {
        let ready = format!("http://{probe}/readyz");
        while !http.get(&ready).send().await.is_ok_and(|response| response.status().is_success()) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
