//! Running all roles in this process, each with its own settings.

use std::time::Duration;

use sealbus_backing::free_port;
use sealbus_runtime::settings::table;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use crate::failure::Failure;
use crate::roles::{Role, serve};
use crate::wiring::until_ready;

/// Connections of each role. 16 publishers, 16 relays, a sealer and a dispatcher have 408 of the 500 that Postgres accepts in dev.
const CONNECTIONS_PER_ROLE: &str = "12";
/// How long all roles together may take until they are ready.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) struct Bus {
    /// The tasks of the roles. Each ends only after a failure, or when it is stopped.
    roles: JoinSet<Failure>,
    shutdown: CancellationToken,
}

impl Bus {
    /// Starts `replicas` publishers and relays, a sealer and a dispatcher, and waits until all are ready. `port` is the first
    /// publisher's. Adds the URLs of the publishers, and the listen addresses of the first one, to the environment.
    pub(super) async fn start(
        environment: &mut Environment,
        port: Option<u16>,
        replicas: u32,
    ) -> Result<Self, Failure> {
        let mut bus = Self { roles: JoinSet::new(), shutdown: CancellationToken::new() };
        let (mut urls, mut probes) = (Vec::new(), Vec::new());
        for replica in 0..replicas {
            let listen = local(match port {
                Some(port) if replica == 0 => port,
                _ => free_port()?,
            });
            urls.push(format!("http://{listen}"));
            probes.push(bus.spawn(environment, Role::Publisher, &listen)?);
            if replica == 0 {
                environment.set(table::LISTEN.name(), listen);
                environment.set(table::ADMIN_LISTEN.name(), probes[0].clone());
            }
        }
        for _ in 0..replicas {
            probes.push(bus.spawn(environment, Role::Relay, &local(0))?);
        }
        probes.push(bus.spawn(environment, Role::Sealer, &local(0))?);
        probes.push(bus.spawn(environment, Role::Dispatcher, &local(0))?);
        environment.set(table::URL.name(), urls[0].clone());
        environment.set(table::URLS.name(), urls.join(","));
        let failure = tokio::select! {
            ready = tokio::time::timeout(STARTUP_TIMEOUT, until_ready(&probes)) => match ready {
                Ok(()) => return Ok(bus),
                Err(_) => Failure::new("the roles were not ready within a minute; run again with SEALBUS_LOG=info"),
            },
            failure = bus.failed() => failure,
        };
        bus.stop().await;
        Err(failure)
    }

    /// Waits until a role ends without being stopped, which is a failure.
    pub(super) async fn failed(&mut self) -> Failure {
        let failure = self.roles.join_next().await.and_then(Result::ok);
        failure.unwrap_or_else(|| Failure::new("a role ended by itself"))
    }

    /// Stops all roles, and waits until they have ended.
    pub(super) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.roles.join_next().await.is_some() {}
    }

    /// Starts a role, and returns the address of its probes.
    fn spawn(&mut self, environment: &Environment, role: Role, listen: &str) -> Result<String, Failure> {
        let admin = local(free_port()?);
        let settings = environment.settings(&[
            (table::LISTEN.name(), listen),
            (table::ADMIN_LISTEN.name(), &admin),
            (table::DATABASE_CONNECTIONS.name(), CONNECTIONS_PER_ROLE),
        ])?;
        let shutdown = self.shutdown.clone();
        self.roles.spawn(async move {
            let outcome = serve(role, &settings, shutdown).await;
            outcome.err().unwrap_or_else(|| Failure::new(format!("the {role:?} ended by itself")))
        });
        Ok(admin)
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
