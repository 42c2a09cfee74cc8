//! The table: every variable that Sealbus reads, and the key of each.
//!
//! The name of a variable is `SEALBUS_` and its key. None ends in `_PORT` or the like: Kubernetes sets those by itself.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::entry::{Entry, OptionalSetting, Reader, Rule, Setting, table};
use super::secret::SecretUrl;
use super::value::{HostPort, LogFormat, Size, Value};

table! {
"The process" {
    /// A TOML file with settings.
    [Publisher Relay Sealer Dispatcher Witness Commands Dev] CONFIG: PathBuf;
    /// What is logged: a level, or `target=level` between commas.
    [Publisher Relay Sealer Dispatcher Witness Commands Dev] LOG: String = "info";
    /// How a line of the log looks.
    [Publisher Relay Sealer Dispatcher Witness Commands Dev] LOG_FORMAT: LogFormat = "text";
    /// Where metrics and probes are served.
    [Publisher Relay Sealer Dispatcher Witness] ADMIN_LISTEN: HostPort = "0.0.0.0:9090";
    /// How long a process that was told to stop may take before its tasks are cut off. Keep it under the time that
    /// Kubernetes waits.
    [Publisher Relay Sealer Dispatcher Witness Dev] SHUTDOWN_GRACE: Duration = "25s", Rule::Between("1s", "1h");
    /// How long a readiness check of `/health/ready` may take before it counts as failed.
    [Publisher Relay Sealer Dispatcher Witness] CHECK_TIMEOUT: Duration = "2s", Rule::Between("10ms", "1m");
}
"The deployment" {
    /// The deployment's name, sealed into every event and fixed for the life of a ledger: 1 to 255 printable ASCII
    /// characters without space or `+`.
    [Publisher Relay Sealer Dispatcher Commands] ORIGIN: String;
    /// The file or directory of the keys that seal events and check seals.
    [Publisher Relay Sealer Dispatcher Witness Commands] KEYRING: PathBuf;
    /// The file of the bearer tokens' hashes, tenants and scopes.
    [Publisher] TOKENS: PathBuf;
    /// The directory of your own catalog files, beside the built-in ones.
    [Publisher Dispatcher Commands Dev] CATALOG: PathBuf;
    /// The file of the subscriptions that the dispatcher feeds.
    [Dispatcher Commands Dev] SUBSCRIPTIONS: PathBuf;
    /// How often the file of tokens is looked at for changes.
    [Publisher] TOKENS_INTERVAL: Duration = "5s", Rule::Between("10ms", "1h");
    /// Tenants whose new plans carry scheme v1 beside v2.
    [Publisher Commands] V1_TENANTS: Vec<String>;
}
"The ledger" {
    /// The Postgres database that is the ledger, as the role that runs Sealbus.
    [Publisher Relay Sealer Dispatcher Commands] DATABASE_URL: SecretUrl;
    /// The same database as the schema's owner, for migrations: `migrate`, and the first boot where it is given.
    [Publisher Relay Sealer Dispatcher Commands] OWNER_DATABASE_URL: SecretUrl;
    /// The ledger's database as a superuser: what `sealbus dev --exec` gives its command, to try tampering, and what
    /// `bench` resets the database with. No role reads it.
    [Commands Dev] ADMIN_DATABASE_URL: SecretUrl;
    /// Connections to the ledger that a process keeps at most.
    [Publisher Relay Sealer Dispatcher Commands] DATABASE_CONNECTIONS: u32 = "16", Rule::Between("2", "1000");
    /// Partitions of a ledger that is being created; fixed from then on.
    [Publisher Commands Dev] PARTITIONS: u32 = "8", Rule::OneOf(&["1", "2", "4", "8", "16", "32", "64"]);
    /// The migration that `/health/ready` wants to find applied; `EXPECTED_MIGRATION` is read too. Without it, the one
    /// that the program was built with.
    [Publisher Relay Sealer Dispatcher] EXPECTED_MIGRATION: i64;
}
"The broker" {
    /// The NATS servers, between commas.
    [Relay Publisher Dispatcher Sealer Commands] NATS_URL: SecretUrl;
    /// Copies that JetStream keeps of the stream; 3 or 5 in a cluster.
    [Relay Dispatcher] STREAM_REPLICAS: u32 = "1", Rule::OneOf(&["1", "3", "5"]);
    /// How long the stream keeps an event. The ledger keeps it in any case.
    [Relay Dispatcher] STREAM_MAX_AGE: Duration = "7d", Rule::Between("1m", "3650d");
    /// How large the stream may grow before it discards its oldest.
    [Relay Dispatcher] STREAM_MAX_BYTES: Size = "10GiB", Rule::Between("1MiB", "1048576GiB");
}
"The publisher" {
    /// Where the API is served, or the witness.
    [Publisher Witness] LISTEN: HostPort = "0.0.0.0:8080";
    /// How long a connection may take to bring the headers of a request, from when it was opened or its last answer
    /// ended; then it is closed. Keep it above the time for which a load balancer keeps idle connections to use again.
    [Publisher Witness] HEADER_TIMEOUT: Duration = "75s", Rule::Between("10ms", "1h");
    /// The largest body of a request.
    [Publisher] MAX_BODY: Size = "4MiB", Rule::Between("1KiB", "64MiB");
    /// The largest data of an event.
    [Publisher] MAX_EVENT: Size = "256KiB", Rule::Between("1KiB", "256KiB");
    /// The most members and elements, at all depths, that data and metadata of an event may have together.
    [Publisher] MAX_MEMBERS: u32 = "16384", Rule::Between("16", "1000000");
    /// Bytes of bodies that a publisher has in hand at once; callers beyond them wait, and are then refused.
    [Publisher] MAX_INTAKE: Size = "16MiB", Rule::Between("4MiB", "64GiB");
    /// Event streams that may be open at once.
    [Publisher] SSE_STREAMS: u32 = "1000", Rule::Between("1", "1000000");
    /// How often an idle event stream says that it is alive.
    [Publisher] SSE_HEARTBEAT: Duration = "15s", Rule::Between("10ms", "10m");
    /// How long a publish call with `wait=sealed` waits at most for an anchored checkpoint over its events; its `timeout` may ask
    /// for less.
    [Publisher] SEALED_WAIT: Duration = "10s", Rule::Between("10ms", "5m");
    /// Batchers of a replica; a plan always meets the same one.
    [Publisher] BATCHERS: u32 = "2", Rule::Between("1", "64");
    /// Events that a batch takes at most.
    [Publisher] BATCH_EVENTS: u32 = "500", Rule::Between("1", "1000");
    /// Plans that a batch takes at most: so many locks it holds.
    [Publisher] BATCH_PLANS: u32 = "200", Rule::Between("1", "1000");
    /// Events of one tenant that may wait in one batcher before its calls are answered with `overloaded`.
    [Publisher] WAITING_EVENTS: u32 = "20000", Rule::Between("1", "1000000");
    /// How long a call that went alone waits for its plan; longer than the longest batch.
    [Publisher] LOCK_TIMEOUT: Duration = "10s", Rule::Between("100ms", "5m");
    /// Publishers that may run at once: with the batchers and the plans of a batch it bounds the locks that Postgres
    /// has to hold, which is checked at the start.
    [Publisher] MAX_REPLICAS: u32 = "8", Rule::Between("1", "1000");
}
"The relay and the sealer" {
    /// How long a share of the work belongs to a process that no longer renews it, and a publisher that is no longer heard of
    /// counts as one that signs with its key.
    [Relay Dispatcher Publisher Commands] LEASE: Duration = "10s", Rule::Between("100ms", "5m");
    /// How often a process renews what it holds; well under the lease.
    [Relay Dispatcher Publisher Commands] LEASE_RENEW: Duration = "3s", Rule::Between("10ms", "1m");
    /// Events of one plan that may be on their way to the broker at once.
    [Relay] RELAY_WINDOW: u32 = "64", Rule::Between("1", "1024");
    /// How often the relay looks in the outbox for what hints missed.
    [Relay] RELAY_SWEEP: Duration = "500ms", Rule::Between("10ms", "1m");
    /// How often it looks without the low-water bound.
    [Relay] RELAY_FULL_SWEEP: Duration = "1m", Rule::Between("100ms", "1h");
    /// How long the sealer waits for more events before it gives those it has their leaves.
    [Sealer] SEAL_WAIT: Duration = "50ms", Rule::Between("1ms", "10s");
    /// Events that one sealing transaction takes at most.
    [Sealer] SEAL_BATCH: u32 = "1000", Rule::Between("1", "10000");
    /// How often the sealer looks again at a plan that failed its check.
    [Sealer] SEAL_RETRY: Duration = "1m", Rule::Between("100ms", "1d");
    /// How often a checkpoint of the log is anchored while there is news.
    [Sealer] CHECKPOINT: Duration = "1s", Rule::Between("10ms", "1h");
    /// How often the newest checkpoint is signed and anchored again while there is none: silence longer than three of them is
    /// called `STALE`.
    [Sealer Commands] HEARTBEAT: Duration = "1m", Rule::Between("100ms", "1h");
    /// How long each witness of the policy has for a checkpoint, before it goes on without.
    [Sealer Commands] WITNESS_TIMEOUT: Duration = "5s", Rule::Between("10ms", "1m");
    /// A file that every checkpoint is appended to, beside the stream `SEALBUS_CHECKPOINTS`: out of the database's reach, or
    /// it is worth little.
    [Sealer Commands] ANCHORS: PathBuf;
}
"The witness" {
    /// What the witness is called: the name in its key, `witness.example/one`; without space or `+`.
    [Witness] WITNESS_NAME: String;
    /// The folder of what it remembers. One witness at a time has it, and no backup of it is ever brought back.
    [Witness] WITNESS_FOLDER: PathBuf;
    /// The file that says which logs and witnesses are trusted (c2sp.org/tlog-policy). A witness follows its logs; a sealer asks
    /// its witnesses, and shows readers what has its quorum.
    [Witness Sealer Commands] POLICY: PathBuf;
}
"The dispatcher" {
    /// The schema of sinks' tables whose names say none. Outside of `sealbus_sinks` the role has to be let in.
    [Dispatcher] SINK_SCHEMA: String = "sealbus_sinks";
    /// The age from which the sweep of the ledger owes a subscription a leaf that it has not seen.
    [Dispatcher] SWEEP_AGE: Duration = "30s", Rule::Between("10ms", "1h");
    /// How often the sweep of the ledger looks.
    [Dispatcher] SWEEP_INTERVAL: Duration = "5s", Rule::Between("10ms", "10m");
    /// How often the dispatcher looks for parked plans that are due, and for plans that are behind.
    [Dispatcher] REPLAY_INTERVAL: Duration = "250ms", Rule::Between("10ms", "1m");
    /// How long one call of a handler may take before it counts as failed.
    [Dispatcher] HANDLER_TIMEOUT: Duration = "30s", Rule::Between("10ms", "1h");
    /// How long the broker waits for an acknowledgement before it delivers again.
    [Dispatcher] ACK_WAIT: Duration = "10s", Rule::Between("100ms", "5m");
    /// How often a handler at work tells the broker so; well under the wait.
    [Dispatcher] PROGRESS: Duration = "4s", Rule::Between("10ms", "1m");
    /// Events of one plan that may wait in memory before the plan is set behind and replayed from the ledger.
    [Dispatcher] PLAN_QUEUE: u32 = "64", Rule::Between("1", "10000");
    /// Bytes of one tenant's events that may wait in memory in one share of a subscription before its plans are set behind.
    [Dispatcher] TENANT_QUEUE: Size = "4MiB", Rule::Between("64KiB", "1GiB");
    /// How long a plan has to be idle before its position may be pruned.
    [Dispatcher] PRUNE_IDLE: Duration = "1d", Rule::Between("10ms", "365d");
    /// How often positions are pruned.
    [Dispatcher] PRUNE_INTERVAL: Duration = "1h", Rule::Between("10ms", "1d");
}
"Clients and commands" {
    /// The API that commands speak to.
    [Commands] URL: String = "http://127.0.0.1:8080";
    /// Every replica of it, between commas; where it is given, it goes before `SEALBUS_URL`.
    [Commands] URLS: Vec<String>;
    /// The bearer token.
    [Commands] TOKEN: SecretString;
    /// The tenant that commands act for; without it the token's default.
    [Commands] TENANT: String;
    /// How long backups of the ledger's database and its archived WAL are kept: by it `sealbus erase` reports the day on
    /// which the last copy of a wrapped data key is gone.
    [Commands] BACKUP_RETENTION: Duration;
    /// Publishers and relays that `sealbus dev` runs of each.
    [Dev] REPLICAS: u32 = "2", Rule::Between("1", "16");
    /// A Postgres that runs already, as its superuser, which `sealbus dev` is to use instead of one of its own. Unlike
    /// `--postgres-url` it shows no password in the list of processes.
    [Dev] DEV_POSTGRES_URL: SecretUrl;
    /// A NATS that runs already, likewise.
    [Dev] DEV_NATS_URL: SecretUrl;
}
}
