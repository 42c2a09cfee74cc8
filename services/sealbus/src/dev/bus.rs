//! All roles in this process, each by settings of its own.

use std::time::Duration;

use sealbus_backing::free_port;
use sealbus_runtime::settings::table;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use crate::failure::Failure;
use crate::roles::{Role, serve};

/// Postgres takes 200 connections in dev; with 16 replicas of each kind they suffice still.
const CONNECTIONS: &str = "6";
/// How long the slowest machine may take to have all roles ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// Running roles.
pub(super) struct Bus {
    /// The shared environment, with the addresses that commands use, and where the first publisher listens.
    pub environment: Environment,
    /// Every publisher.
    pub urls: Vec<String>,
    /// Says so when a role ends before it is told to.
    pub ended: mpsc::Receiver<Failure>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Bus {
    /// Starts them and waits until all say that they are ready.
    pub(super) async fn start(environment: &Environment, port: Option<u16>, replicas: u32) -> Result<Self, Failure> {
        let (ending, ended) = mpsc::channel(1);
        let mut bus = Self {
            environment: environment.clone(),
            urls: Vec::new(),
            ended,
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
            probes.push(bus.spawn(Role::Publisher, &listen, &ending)?);
            if replica == 0 {
                bus.environment.set(table::LISTEN.name(), listen);
                bus.environment.set(table::ADMIN_LISTEN.name(), probes[0].clone());
            }
        }
        for _ in 0..replicas {
            probes.push(bus.spawn(Role::Relay, &local(0), &ending)?);
        }
        probes.push(bus.spawn(Role::Sealer, &local(0), &ending)?);
        probes.push(bus.spawn(Role::Dispatcher, &local(0), &ending)?);
        bus.environment.set(table::URL.name(), bus.urls[0].clone());
        bus.environment.set(table::URLS.name(), bus.urls.join(","));
        let ready = tokio::select! {
            ready = tokio::time::timeout(PATIENCE, until_ready(&probes)) => ready.map_err(|_| Failure::new("the roles were not ready within a minute; SEALBUS_LOG=info shows why")),
            failure = bus.ended.recv() => Err(failure.unwrap_or_else(|| Failure::new("a role ended"))),
        };
        match ready {
            Ok(()) => Ok(bus),
            Err(failure) => {
                bus.stop().await;
                Err(failure)
            }
        }
    }

    /// Tells all roles to end, and waits for them.
    pub(super) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Starts a role; gives the address of its probes.
    fn spawn(&mut self, role: Role, listen: &str, ending: &mpsc::Sender<Failure>) -> Result<String, Failure> {
        let admin = local(free_port()?);
        let settings = self.environment.settings(&[
            (table::LISTEN.name(), listen.to_owned()),
            (table::ADMIN_LISTEN.name(), admin.clone()),
            (table::DATABASE_CONNECTIONS.name(), CONNECTIONS.to_owned()),
        ])?;
        let (shutdown, ending) = (self.shutdown.clone(), ending.clone());
        self.tasks.spawn(async move {
            let outcome = serve(role, &settings, shutdown.clone()).await;
            if !shutdown.is_cancelled() {
                let failure = outcome.err().unwrap_or_else(|| Failure::new(format!("the {role:?} ended by itself")));
                // The first failure tells; dev listens to no second one.
                let _ = ending.try_send(failure);
            }
        });
        Ok(admin)
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

async fn until_ready(probes: &[String]) {
    let http = reqwest::Client::new();
    for probe in probes {
        let ready = format!("http://{probe}/readyz");
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
