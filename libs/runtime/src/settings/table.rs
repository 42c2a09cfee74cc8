//! The table: every variable that Sealbus reads, and the key of each.
//!
//! The name of a variable is `SEALBUS_` and its key. No name ends in `_PORT` or the like, because Kubernetes sets variables
//! of such names for a service called sealbus. A name tells the unit or the kind where the type does not: an `_INTERVAL` is
//! how often something is done, a `_TIMEOUT` how long it may take, and `MAX_` limits a number.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::entry::{Entry, OptionalSetting, Rule, Setting, table};
use super::secret::SecretUrl;
use super::value::{HostPort, LogFormat, Size, Value};

table! {
"Process" {
    /// Path of a TOML file with settings.
    [publisher relay sealer dispatcher witness commands dev] CONFIG: PathBuf;
    /// Log filter: a level (`error`, `warn`, `info`, `debug`, `trace`), or comma-separated `target=level` pairs.
    [publisher relay sealer dispatcher witness commands dev] LOG: String = "info";
    /// Format of log lines.
    [publisher relay sealer dispatcher witness commands dev] LOG_FORMAT: LogFormat = "text";
    /// Address on which metrics and health probes are served.
    [publisher relay sealer dispatcher witness] ADMIN_LISTEN: HostPort = "0.0.0.0:9090";
    /// Time that a process has to finish its work after SIGTERM; then its tasks are cut off. Keep it below the termination
    /// grace period of Kubernetes.
    [publisher relay sealer dispatcher witness dev] SHUTDOWN_GRACE: Duration = "25s", Rule::Between("1s", "1h");
    /// Time after which a readiness check of `/health/ready` counts as failed.
    [publisher relay sealer dispatcher witness] CHECK_TIMEOUT: Duration = "2s", Rule::Between("10ms", "1m");
}
"Deployment" {
    /// Name of the deployment. It is sealed into every event and fixed for the life of a ledger: 1 to 255 printable ASCII
    /// characters without space or `+`.
    [publisher relay sealer dispatcher commands] ORIGIN: String;
    /// File, or folder of `.json` files, with the keys that seal events and check seals.
    [publisher relay sealer dispatcher witness commands] KEYRING: PathBuf;
    /// File with the hashes, tenants and scopes of bearer tokens.
    [publisher] TOKENS: PathBuf;
    /// File, or folder of YAML files, with your own event types, in addition to the built-in catalog.
    [publisher dispatcher commands dev] CATALOG: PathBuf;
    /// File, or folder of YAML files, with the subscriptions that the dispatcher delivers to.
    [dispatcher commands dev] SUBSCRIPTIONS: PathBuf;
    /// Interval at which the token file is checked for changes.
    [publisher] TOKENS_INTERVAL: Duration = "5s", Rule::Between("10ms", "1h");
    /// Tenants whose new plans have the signature of scheme v1 in addition to the seal.
    [publisher commands] V1_TENANTS: Vec<String>;
}
"Ledger" {
    /// URL of the ledger's Postgres database, with the role that runs Sealbus.
    [publisher relay sealer dispatcher commands] DATABASE_URL: SecretUrl;
    /// URL of the same database with the role that owns the schema: for migrations by `sealbus migrate`, by a role that
    /// starts on a database without a ledger, and for the VACUUM of `sealbus erase`.
    [publisher relay sealer dispatcher commands] OWNER_DATABASE_URL: SecretUrl;
    /// URL of the same database with a superuser. `sealbus dev --exec` passes it to its command, so that tampering can be
    /// tried, and `sealbus bench` resets the database with it. No role reads it.
    [commands dev] ADMIN_DATABASE_URL: SecretUrl;
    /// Maximum number of connections from a process to the ledger. They are divided among appends, reads, background work,
    /// effects and readiness checks.
    [publisher relay sealer dispatcher commands] DATABASE_CONNECTIONS: u32 = "16", Rule::Between("6", "1000");
    /// Time that one operation on the ledger may take: a read, a batch of appends, a renewal of leases. After it the operation
    /// fails as if the database were unreachable.
    [publisher relay sealer dispatcher commands] DATABASE_TIMEOUT: Duration = "5s", Rule::Between("100ms", "10m");
    /// Number of partitions of a ledger that is created. It cannot be changed later.
    [publisher relay sealer dispatcher commands dev]
    PARTITIONS: u32 = "8", Rule::OneOf(&["1", "2", "4", "8", "16", "32", "64"]);
    /// Number of the migration that `/health/ready` requires. It must be the newest one, or the schema must be marked compatible with it. Without it,
    /// the newest one that the program knows is required. The name `EXPECTED_MIGRATION` is read too.
    [publisher relay sealer dispatcher] EXPECTED_MIGRATION: i64;
}
"Broker" {
    /// URLs of the NATS servers, comma-separated.
    [relay publisher dispatcher sealer commands] NATS_URL: SecretUrl;
    /// Time that the broker may take to answer a request. A connection without answers counts as lost after about the same
    /// time.
    [relay publisher dispatcher sealer commands] NATS_TIMEOUT: Duration = "5s", Rule::Between("300ms", "1m");
    /// Number of replicas that JetStream keeps of the stream. Use 3 or 5 in a cluster.
    [relay dispatcher commands] STREAM_REPLICAS: u32 = "1", Rule::OneOf(&["1", "3", "5"]);
    /// Age at which the stream discards an event. The ledger keeps the event in any case.
    [relay dispatcher commands] STREAM_MAX_AGE: Duration = "7d", Rule::Between("1m", "3650d");
    /// Size from which the stream discards its oldest events.
    [relay dispatcher commands] STREAM_MAX_BYTES: Size = "10GiB", Rule::Between("1MiB", "1048576GiB");
}
"Publisher" {
    /// Address on which the publisher's API, or the witness, listens.
    [publisher witness] LISTEN: HostPort = "0.0.0.0:8080";
    /// Time within which a connection must send the headers of a request, counted from when it was opened or its last answer
    /// ended; then it is closed. Keep it above the time for which a load balancer keeps idle connections.
    [publisher witness] HEADER_TIMEOUT: Duration = "75s", Rule::Between("10ms", "1h");
    /// Time after which a connection is closed on which an answer cannot be written because its caller does not read.
    [publisher witness] WRITE_TIMEOUT: Duration = "30s", Rule::Between("10ms", "1h");
    /// Maximum number of open connections. A further one takes the place of one of the address that has most of them: of an idle one,
    /// or else of the one whose request is in flight for longest. If the further one is of that address itself, it waits; as many
    /// again may wait.
    [publisher witness] MAX_CONNECTIONS: u32 = "1024", Rule::Between("2", "1000000");
    /// Maximum size of a request body, and of a line of `sealbus import`.
    [publisher commands] MAX_BODY: Size = "4MiB", Rule::Between("1KiB", "64MiB");
    /// Maximum size of an event's data.
    [publisher] MAX_EVENT: Size = "256KiB", Rule::Between("1KiB", "256KiB");
    /// Maximum number of members and elements, at all depths, in the data and metadata of an event together.
    [publisher] MAX_MEMBERS: u32 = "16384", Rule::Between("16", "1000000");
    /// Memory for the request bodies that are received or handled, ten times their bytes and 8 KiB for each event, and for the
    /// answers to them. A token
    /// takes at most as much of it as is left. A call that does not fit waits, and is then refused as `overloaded`.
    [publisher] MAX_INTAKE: Size = "96MiB", Rule::Between("96MiB", "64GiB");
    /// Memory for the events of calls that wait for a batch or are in one. A tenant takes at most as much of it as is left. A
    /// call that does not fit is refused as `overloaded`.
    [publisher] MAX_QUEUED: Size = "32MiB", Rule::Between("1MiB", "64GiB");
    /// Memory for the events of calls that wait until they are sealed. A token takes at most as much of it as is left. A call
    /// that does not fit is answered at once, as not sealed.
    [publisher] MAX_SEAL_WAITS: Size = "16MiB", Rule::Between("64KiB", "64GiB");
    /// Memory for the events that are read for clients and written to them, in pages and streams. A token takes at most as much
    /// of it as is left. A page that does not fit waits, and is then refused as `overloaded`; a stream waits.
    [publisher] MAX_ANSWERS: Size = "48MiB", Rule::Between("16MiB", "64GiB");
    /// Memory for the newest events of the plans and of the log that streams follow. Streams read older ones from the ledger.
    [publisher] MAX_FEEDS: Size = "16MiB", Rule::Between("64KiB", "64GiB");
    /// Maximum number of open event streams. A token takes at most as many of them as are left.
    [publisher] SSE_STREAMS: u32 = "500", Rule::Between("2", "1000000");
    /// Interval at which an idle event stream sends a comment, so that proxies keep it open.
    [publisher] SSE_HEARTBEAT_INTERVAL: Duration = "15s", Rule::Between("10ms", "10m");
    /// Maximum time that a publish call with `wait=sealed` waits until an anchored checkpoint covers its events. The
    /// parameter `timeout` of a call may be shorter.
    [publisher] SEALED_WAIT: Duration = "10s", Rule::Between("10ms", "5m");
    /// Number of batchers of a replica. All calls for a plan go to the same batcher.
    [publisher] BATCHERS: u32 = "2", Rule::Between("1", "64");
    /// Maximum number of events in a batch. An event of 2 KiB or more counts as several: one for each KiB of its payload and metadata.
    [publisher commands] MAX_BATCH_EVENTS: u32 = "500", Rule::Between("1", "1000");
    /// Maximum number of plans in a batch. A batch holds one lock for each of its plans.
    [publisher commands] MAX_BATCH_PLANS: u32 = "200", Rule::Between("1", "1000");
    /// Maximum time that a call in a transaction of its own waits for the lock of its plan. Keep it above the duration of
    /// the longest batch.
    [publisher commands] LOCK_TIMEOUT: Duration = "10s", Rule::Between("100ms", "5m");
    /// Maximum number of publishers that run at the same time. A publisher checks at its start that the locks of all
    /// replicas, batchers and plans of a batch fit into the lock table of Postgres.
    [publisher] MAX_REPLICAS: u32 = "8", Rule::Between("1", "1000");
}
"Relay and sealer" {
    /// Duration of a lease. When a process stops renewing, other processes take its partitions after this time, and a
    /// publisher no longer counts as a signer with its key.
    [relay dispatcher publisher commands] LEASE: Duration = "10s", Rule::Between("100ms", "5m");
    /// Interval at which a process renews its leases. Keep it well below the lease.
    [relay dispatcher publisher commands] LEASE_RENEW_INTERVAL: Duration = "3s", Rule::Between("10ms", "1m");
    /// Maximum number of events of one plan that are in flight to the broker.
    [relay] RELAY_WINDOW: u32 = "64", Rule::Between("1", "1024");
    /// Interval at which the relay scans the outbox for events whose hint was lost.
    [relay] RELAY_SCAN_INTERVAL: Duration = "500ms", Rule::Between("10ms", "1m");
    /// Interval at which the relay scans the whole outbox, without the low-water bound.
    [relay] RELAY_FULL_SCAN_INTERVAL: Duration = "1m", Rule::Between("100ms", "1h");
    /// Age at which a record of what the stream held at a moment is deleted. Keep it above the age of the stream's messages.
    [relay] BEACON_RETENTION: Duration = "30d", Rule::Between("1s", "3650d");
    /// Time that the sealer waits for more events before it adds the events that it has to the log.
    [sealer] SEAL_WAIT: Duration = "50ms", Rule::Between("1ms", "10s");
    /// Maximum number of events in a sealing transaction.
    [sealer] MAX_SEAL_EVENTS: u32 = "1000", Rule::Between("1", "10000");
    /// Interval at which the sealer retries a plan that failed its check.
    [sealer] SEAL_RETRY_INTERVAL: Duration = "1m", Rule::Between("100ms", "1d");
    /// Interval at which a new checkpoint of the log is anchored while events arrive.
    [sealer] CHECKPOINT_INTERVAL: Duration = "1s", Rule::Between("10ms", "1h");
    /// Interval at which the newest checkpoint is signed and anchored again while no events arrive. A verifier reports
    /// `STALE` when the newest checkpoint is older than three intervals.
    [sealer commands] HEARTBEAT_INTERVAL: Duration = "1m", Rule::Between("100ms", "1h");
    /// Time within which a witness of the policy must cosign a checkpoint; then the checkpoint is anchored without it.
    [sealer commands] WITNESS_TIMEOUT: Duration = "5s", Rule::Between("10ms", "1m");
    /// File to which every checkpoint is appended, in addition to the stream `SEALBUS_CHECKPOINTS`. It must be stored where
    /// the database's administrators cannot write.
    [sealer commands] ANCHORS: PathBuf;
}
"Witness" {
    /// Name of the witness, which is part of its key, such as `witness.example/one`: without space or `+`.
    [witness] WITNESS_NAME: String;
    /// Folder in which the witness stores the checkpoints that it cosigned. Only one witness may use it. Never restore it
    /// from a backup.
    [witness] WITNESS_FOLDER: PathBuf;
    /// File that lists the trusted logs and witnesses and the quorum (c2sp.org/tlog-policy). A witness cosigns for the logs
    /// in it. A sealer asks the witnesses in it, and shows readers only checkpoints that have the quorum.
    [witness sealer commands] POLICY: PathBuf;
}
"Dispatcher" {
    /// Schema of sink tables whose names have no schema. The role needs privileges on any schema other than `sealbus_sinks`.
    [dispatcher] SINK_SCHEMA: String = "sealbus_sinks";
    /// Age from which the sweep of the ledger delivers a leaf that the subscription has not received from the broker.
    [dispatcher] SWEEP_AGE: Duration = "30s", Rule::Between("10ms", "1h");
    /// Interval of the sweep of the ledger.
    [dispatcher] SWEEP_INTERVAL: Duration = "5s", Rule::Between("10ms", "10m");
    /// Interval at which the dispatcher looks for parked plans that are due and for plans that are behind.
    [dispatcher] REPLAY_INTERVAL: Duration = "250ms", Rule::Between("10ms", "1m");
    /// Time after which one call of a handler counts as failed.
    [dispatcher] HANDLER_TIMEOUT: Duration = "30s", Rule::Between("10ms", "1h");
    /// Time after which the broker delivers a message again that was not acknowledged.
    [dispatcher] ACK_WAIT: Duration = "10s", Rule::Between("100ms", "5m");
    /// Interval at which the broker is told that a handler is still working on a message. Keep it well below
    /// `SEALBUS_ACK_WAIT`.
    [dispatcher] PROGRESS_INTERVAL: Duration = "4s", Rule::Between("10ms", "1m");
    /// Maximum number of events of one plan that wait in memory. A plan above it is deferred and read from the ledger later.
    [dispatcher] PLAN_QUEUE: u32 = "64", Rule::Between("1", "10000");
    /// Maximum total size of one tenant's events that wait in memory in one partition of a subscription. The tenant's plans
    /// above it are deferred and read from the ledger later.
    [dispatcher] TENANT_QUEUE: Size = "4MiB", Rule::Between("64KiB", "1GiB");
    /// Time without events after which the position of a plan may be pruned.
    [dispatcher] PRUNE_IDLE: Duration = "1d", Rule::Between("10ms", "365d");
    /// Interval at which positions are pruned.
    [dispatcher] PRUNE_INTERVAL: Duration = "1h", Rule::Between("10ms", "1d");
    /// Age at which the recorded errors of failed attempts at an event are deleted. Those at the event that a plan waits with are
    /// kept.
    [dispatcher] ATTEMPT_RETENTION: Duration = "30d", Rule::Between("10ms", "3650d");
}
"Clients and commands" {
    /// URL of the API that commands call.
    [commands] URL: String = "http://127.0.0.1:8080";
    /// URLs of all replicas of the API, comma-separated. It takes precedence over `SEALBUS_URL`.
    [commands] URLS: Vec<String>;
    /// Bearer token.
    [commands] TOKEN: SecretString;
    /// Tenant that commands act for; without it, the default tenant of the token.
    [commands] TENANT: String;
    /// Time for which backups of the ledger's database and its archived WAL are kept. `sealbus erase` computes from it the
    /// day on which the last copy of a wrapped data key is gone.
    [commands] BACKUP_RETENTION: Duration;
    /// Number of publishers, and of relays, that `sealbus dev` runs.
    [dev] REPLICAS: u32 = "2", Rule::Between("1", "16");
    /// URL of a running Postgres, with a superuser, that `sealbus dev` uses instead of starting one. Unlike the option
    /// `--postgres-url` it keeps the password out of the list of processes.
    [dev] DEV_POSTGRES_URL: SecretUrl;
    /// URL of a running NATS server that `sealbus dev` uses instead of starting one.
    [dev] DEV_NATS_URL: SecretUrl;
}
}

/// A rule that one setting must be at least a multiple of another.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// Name of the variable whose value must be larger.
    pub larger: &'static str,
    /// The multiple.
    pub times: u8,
    /// Name of the variable whose value must be smaller.
    pub smaller: &'static str,
    /// The effect of breaking the rule, as the end of a sentence.
    pub otherwise: &'static str,
}

impl Ratio {
    const fn new<T>(larger: Setting<T>, times: u8, smaller: Setting<T>, otherwise: &'static str) -> Self {
        Self { larger: larger.name(), times, smaller: smaller.name(), otherwise }
    }

    /// Returns whether a role reads both settings.
    pub(super) fn applies_to(&self, role: &str) -> bool {
        [self.larger, self.smaller].into_iter().all(|name| super::entry(name).readers.contains(&role))
    }

    /// Returns whether all that read one of the settings read both.
    pub(super) fn is_common(&self) -> bool {
        super::entry(self.larger).readers == super::entry(self.smaller).readers
    }
}

/// All rules.
pub static RATIOS: &[Ratio] = &[
    Ratio::new(LEASE, 2, LEASE_RENEW_INTERVAL, "a process would lose its partitions when one renewal is late"),
    Ratio::new(
        ACK_WAIT,
        2,
        PROGRESS_INTERVAL,
        "a message would be delivered again during its handling when one sign of progress is lost",
    ),
    Ratio::new(
        RELAY_FULL_SCAN_INTERVAL,
        1,
        RELAY_SCAN_INTERVAL,
        "the low-water bound would not shorten any scan of the outbox",
    ),
    Ratio::new(DATABASE_CONNECTIONS, 6, BATCHERS, "appends would leave too few connections for reads and readiness"),
    Ratio::new(MAX_INTAKE, 24, MAX_BODY, "the largest allowed body would never fit into memory"),
    Ratio::new(MAX_CONNECTIONS, 2, SSE_STREAMS, "streams would leave too few connections for other calls"),
];
