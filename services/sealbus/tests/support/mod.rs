//! A bus of real processes: its own Postgres and NATS, and each role a `sealbus` process that can be killed.
#![allow(dead_code, unused_imports, reason = "each test file uses only some of these helpers")]

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sealbus_client::{Client, ClientConfig};
use sealbus_testkit::process::send_signal;
use sealbus_testkit::{Nats, Postgres, eventually, holds_in_time};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

pub(crate) use self::load::{Acknowledged, Load, load};

pub(crate) const SEALBUS: &str = env!("CARGO_BIN_EXE_sealbus");
pub(crate) const TOKEN: &str = "a token for tests";

/// Limits the number of buses in a test program. Each has up to nine processes, and more buses would slow each other down.
static BUS_LIMIT: Semaphore = Semaphore::const_new(4);

/// The servers and the configuration of a bus, on which roles are started one by one.
pub(crate) struct Bus {
    pub postgres: Postgres,
    pub nats: Nats,
    pub folder: TempDir,
    environment: BTreeMap<String, String>,
    _permit: SemaphorePermit<'static>,
}

impl Bus {
    /// Creates a ledger and starts no role.
    pub(crate) async fn start() -> Self {
        Self::on(Postgres::own_cluster().await).await
    }

    pub(crate) async fn on(postgres: Postgres) -> Self {
        Self::with_keyring(postgres, &sealbus_testkit::keyring(), &[]).await
    }

    /// Creates the ledger with the keyring of this text, to which new keys of these kinds are added first.
    pub(crate) async fn with_keyring(postgres: Postgres, keyring: &str, more: &[&str]) -> Self {
        let bus = Self::configured(postgres, keyring).await;
        let new_keys = more.iter().map(|kind| vec!["keys", "new", "--kind", kind]);
        for made in new_keys.chain([vec!["migrate"], vec!["log", "init"]]) {
            let made = bus.command(&made).output().await.unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        bus
    }

    /// Starts a broker and writes the configuration. Nothing is created in the database.
    pub(crate) async fn configured(postgres: Postgres, keyring: &str) -> Self {
        let permit = BUS_LIMIT.acquire().await.unwrap();
        let nats = Nats::start().await;
        // Other users cannot enter it, so that no process warns of the modes of the files in it.
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let tokens = json!({"tokens": [{
            "name": "tester", "sha256": sealbus_core::hash::Hash::of(TOKEN.as_bytes()).to_string(), "tenants": ["*"],
            "default_tenant": "test", "scopes": ["publish", "read", "verify", "log.read", "actor.any", "payload.open", "admin"],
        }]});
        let catalog = folder.path().join("catalog");
        std::fs::create_dir(&catalog).unwrap();
        write("catalog/test.yaml", "module: test\npatterns:\n  test.*: { channel: audit, schema: any }\n");
        let subscriptions = "subscriptions:\n  audit-storage:\n    types: [\"*\"]\n    tenants: [\"*\"]\n    sink: { postgres: { table: audit_log } }\n";
        let environment = [
            ("SEALBUS_ORIGIN", "test.example/bus".to_owned()),
            ("SEALBUS_DATABASE_URL", postgres.url()),
            ("SEALBUS_OWNER_DATABASE_URL", postgres.owner_url()),
            ("SEALBUS_NATS_URL", nats.url()),
            ("SEALBUS_KEYRING", write("keyring.json", keyring)),
            ("SEALBUS_TOKENS", write("tokens.json", &tokens.to_string())),
            ("SEALBUS_TOKEN", TOKEN.to_owned()),
            ("SEALBUS_TENANT", "test".to_owned()),
            ("SEALBUS_CATALOG", catalog.display().to_string()),
            ("SEALBUS_SUBSCRIPTIONS", write("subscriptions.yaml", subscriptions)),
            ("SEALBUS_LOG", "warn".to_owned()),
            // JetStream reserves the size of a stream on the disk when it is created.
            ("SEALBUS_STREAM_MAX_BYTES", "256MiB".to_owned()),
            // Shorter intervals than in production.
            ("SEALBUS_LEASE", "1s".to_owned()),
            ("SEALBUS_LEASE_RENEW_INTERVAL", "200ms".to_owned()),
            ("SEALBUS_RELAY_SCAN_INTERVAL", "50ms".to_owned()),
            ("SEALBUS_RELAY_FULL_SCAN_INTERVAL", "1s".to_owned()),
            ("SEALBUS_SWEEP_AGE", "1s".to_owned()),
            ("SEALBUS_SWEEP_INTERVAL", "200ms".to_owned()),
            ("SEALBUS_ACK_WAIT", "2s".to_owned()),
            ("SEALBUS_PROGRESS_INTERVAL", "500ms".to_owned()),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { postgres, nats, folder, environment, _permit: permit }
    }

    /// Sets a variable for processes that are started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Returns a `sealbus` command with the bus's environment and no other variables.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SEALBUS);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.env_clear().envs(&self.environment).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs a command, and returns its exit code and output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().await.unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), printed)
    }

    /// Starts a role on free ports, and waits until it is ready.
    pub(crate) async fn role(&self, name: &'static str) -> Role {
        let mut role = Role { name, api: free_port(), admin: free_port(), child: None };
        role.start(self).await;
        role
    }

    /// Starts all roles: one sealer, and two of each other role.
    pub(crate) async fn all_roles(&self) -> Vec<Role> {
        let mut roles = Vec::new();
        for name in ["publisher", "publisher", "relay", "relay", "sealer", "dispatcher", "dispatcher"] {
            roles.push(self.role(name).await);
        }
        roles
    }

    /// Returns the number that an SQL query gives a superuser.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.try_count(sql).await.unwrap()
    }

    async fn try_count(&self, sql: &str) -> Result<i64, sqlx::Error> {
        self.value(sql).await
    }

    /// Returns the value that an SQL query gives a superuser.
    async fn value<T>(&self, sql: &str) -> Result<T, sqlx::Error>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.postgres.admin_url()).await?;
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await
    }

    /// Waits until a query returns `count` or more. It may take as long as the number grows.
    pub(crate) async fn grows_to(&self, sql: &str, count: i64) {
        let mut seen = i64::MIN;
        while seen < count {
            let before = seen;
            let grew = holds_in_time(async || {
                seen = self.try_count(sql).await.unwrap_or(before);
                seen > before
            });
            assert!(grew.await, "{sql} stays at {before} of {count}.\n{}", self.state().await);
        }
    }

    /// Returns the rows that tell why events are not delivered: leases, queues, floors, and positions behind their plans.
    async fn state(&self) -> String {
        let rows = [
            ("leases", "SELECT kind, key, holder, epoch, expires_at - now() AS left FROM sealbus.leases"),
            ("outbox", "SELECT partition, count(*), min(id), max(id) FROM sealbus.outbox GROUP BY 1"),
            ("seal queue", "SELECT count(*), min(id), max(id) FROM sealbus.seal_queue"),
            ("floors", "SELECT * FROM sealbus.floors"),
            ("leaves", "SELECT partition, max(leaf_index) FROM sealbus.log_leaves GROUP BY 1"),
            ("positions behind their plans", "SELECT p.plan, p.partition, pos.*, e.head FROM sealbus.positions pos JOIN sealbus.plans p USING (plan_no)
                JOIN (SELECT plan_no, max(seq) AS head FROM sealbus.events GROUP BY 1) e USING (plan_no) WHERE pos.next_seq <= e.head"),
        ];
        let mut text = Vec::new();
        for (name, query) in rows {
            let lines = format!("SELECT coalesce(string_agg(row_to_json(r)::text, E'\n'), 'none') FROM ({query}) r");
            let lines: Result<String, _> = self.value(&lines).await;
            text.push(format!("{name}:\n{}", lines.unwrap_or_else(|error| error.to_string())));
        }
        text.join("\n")
    }

    /// Waits until audit storage holds every acknowledged event. Then checks that it holds each once and in the order of its plan,
    /// and that the ledger is valid.
    pub(crate) async fn expect_delivered(&self, acknowledged: &Acknowledged) {
        let events: i64 = acknowledged.0.values().map(count).sum();
        let delivered = "SELECT count(*) FROM sealbus_sinks.audit_log WHERE tenant = 'test' AND plan NOT LIKE '\\_%'";
        self.grows_to(delivered, events).await;
        assert_eq!(self.count("SELECT count(*) FROM (SELECT tenant, plan, seq FROM sealbus_sinks.audit_log GROUP BY 1, 2, 3 HAVING count(*) > 1) twice").await, 0, "an effect was applied twice");
        let out_of_order = "SELECT count(*) FROM (SELECT seq, lag(seq, 1, 0::bigint) OVER (PARTITION BY tenant, plan ORDER BY n) AS before FROM sealbus_sinks.audit_log) a \
                        WHERE seq <> before + 1";
        assert_eq!(self.count(out_of_order).await, 0, "a plan was applied out of order, or with a gap");
        for (plan, ids) in &acknowledged.0 {
            let expected = count(ids);
            let ids = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
            let stored = format!(
                "SELECT count(*) FROM sealbus.events e JOIN sealbus_sinks.audit_log a ON a.event_id = e.event_id AND a.tenant = e.tenant AND a.plan = '{plan}' \
                 WHERE e.tenant = 'test' AND e.event_id IN ({ids})"
            );
            assert_eq!(self.count(&stored).await, expected, "an acknowledged event of {plan} is missing");
        }
        let (status, printed) = self.run(&["verify", "--all", "--wait"]).await;
        assert_eq!(status, 0, "{printed}");
    }
}

/// Returns a client of these publishers whose retries outlast the restart of any process.
pub(crate) fn client(roles: &[Role]) -> Client {
    let urls: Vec<String> = roles.iter().filter(|role| role.name == "publisher").map(Role::url).collect();
    let mut config = ClientConfig::new(urls, TOKEN);
    config.retry_budget = Duration::from_mins(1);
    Client::new(config).unwrap()
}

/// The process of a role. Dropping it kills the process.
pub(crate) struct Role {
    pub name: &'static str,
    api: u16,
    admin: u16,
    child: Option<Child>,
}

impl Role {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Returns the URL of the process's probes and metrics.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("the role runs")
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.take().expect("the role runs").kill().await.unwrap();
    }

    /// Stops the process with SIGTERM. Returns how long it took.
    pub(crate) async fn terminate(&mut self) -> Duration {
        let mut child = self.child.take().expect("the role runs");
        let sent = Instant::now();
        send_signal(child.id().expect("the role runs"), Signal::TERM);
        let status = child.wait().await.unwrap();
        assert!(status.success(), "the {} ended with {status}", self.name);
        sent.elapsed()
    }

    /// Starts the process on its ports, and waits until it is ready.
    pub(crate) async fn start(&mut self, bus: &Bus) {
        let mut command = bus.command(&[self.name]);
        command
            .env("SEALBUS_LISTEN", format!("127.0.0.1:{}", self.api))
            .env("SEALBUS_ADMIN_LISTEN", format!("127.0.0.1:{}", self.admin));
        self.child = Some(command.spawn().unwrap());
        let ready = format!("{}/readyz", self.admin_url());
        eventually(&format!("the {} is ready", self.name), async || {
            reqwest::get(&ready).await.is_ok_and(|response| response.status().is_success())
        })
        .await;
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn count(ids: &BTreeSet<Uuid>) -> i64 {
    i64::try_from(ids.len()).unwrap()
}

/// Returns a path of the shared data. Without it, prints that the test is skipped.
pub(crate) fn shared(path: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} does not exist", path.display());
    None
}
