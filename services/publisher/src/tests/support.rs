//! A publisher for tests, with real HTTP and a real Postgres, and tokens whose secrets are their names.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Bytes;
use futures::{Stream, StreamExt};
use prometheus_client::registry::Registry;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder};
use sealbus_core::catalog::Catalog;
use sealbus_core::error::ErrorKind;
use sealbus_core::hash::Hash;
use sealbus_core::json;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::{Note, VerifierKey};
use sealbus_core::log::proof::EventProof;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::request::Limits;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::bundle::{Content, read_record};
use sealbus_ledger::append::{Appender, MAX_EVENTS};
use sealbus_ledger::log::{SealingState, Signing};
use sealbus_ledger::{Creation, EXPECTED_MIGRATION, Ledger, create};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::memory::bounds;
use sealbus_runtime::net::ConnectionLimits;
use sealbus_runtime::settings::{SecretUrl, Settings, table};
use sealbus_testkit::Postgres;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{BrokerLink, Config, Memory, Metrics, Resources, health, run};

/// The origin of every test's ledger.
pub(crate) const ORIGIN: &str = "bus.test";
/// How long a stream may take to send an event or a heartbeat before the test fails.
const STREAM_TIMEOUT: Duration = Duration::from_mins(1);
/// The time for a readiness check. It is longer than the ledger waits for a connection, so that a check of an unreachable
/// database ends with the cause and not with this timeout.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

const CATALOG: &str = "
module: own
types:
  order.placed:
    versions:
      1: { schema: { type: object, required: [amount], properties: { amount: { type: string } } } }
  private.note: { content: encrypted, subject: /who, clear: [reason], versions: { 1: { schema: any } } }
patterns:
  any.*: { schema: any }
  quiet.*: { schema: any, content: hash-only }
  secret.*: { schema: any, content: encrypted }
";

/// The catalog of all tests, compiled once.
static SHARED_CATALOG: LazyLock<Arc<Catalog>> =
    LazyLock::new(|| Arc::new(Catalog::read(&[("own.yaml".into(), CATALOG.into())]).unwrap()));

/// A publisher that serves, and a client of it.
pub(crate) struct Publisher {
    pub url: String,
    pub ledger: Ledger,
    /// The folder of the token file.
    pub token_folder: TempDir,
    pub registry: Arc<Registry>,
    pub shutdown: CancellationToken,
    /// The task of the publisher, with its result.
    pub task: JoinHandle<Result<(), crate::Error>>,
    http: reqwest::Client,
}

/// Creates a ledger in a database.
pub(crate) async fn create_ledger(postgres: &Postgres) -> Ledger {
    let creation =
        Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
    create(&postgres.url(), &creation, &keyring()).await.unwrap();
    sealbus_testkit::ledger::open(&postgres.url()).await
}

/// Returns the keyring of all tests.
pub(crate) fn keyring() -> Keyring {
    Keyring::parse(&sealbus_testkit::keyring()).unwrap()
}

/// Returns the public key of the log, which verifiers pin.
pub(crate) fn log_key() -> VerifierKey {
    LogSigner::new(&keyring(), ORIGIN).unwrap().verifier_key()
}

/// Asserts that a receipt proves its event to a verifier that pins the log's key and the signing keys. Returns the event's
/// log index.
#[track_caller]
pub(crate) fn assert_proven(receipt: &[u8]) -> u64 {
    let read = read_record(receipt, ORIGIN).unwrap();
    let Content::Record(record, Some(proof)) = read.content else { panic!("the receipt has no proof: {read:?}") };
    let proof = EventProof::parse(proof.as_bytes()).unwrap();
    let signed = SignedCheckpoint::open(&proof.note, ORIGIN, std::slice::from_ref(&log_key())).unwrap();
    proof.check(&record.leaf(), signed.checkpoint()).unwrap();
    assert_eq!(record.header.hash(), record.event_hash);
    keyring().check(&record.header, &record.event_hash, &record.mac, &record.sig).unwrap();
    assert_eq!(record.log_index, Some(proof.index));
    proof.index
}

/// Returns the token file of all tests. The secret of each token is its name.
pub(crate) fn token_file() -> String {
    let token = |name: &str, tenants: &[&str], default: Option<&str>, scopes: &[&str], until: Option<&str>| {
        json!({ "name": name, "sha256": Hash::of(name.as_bytes()), "tenants": tenants, "default_tenant": default,
                "scopes": scopes, "until": until })
    };
    let tokens = [
        token("acme", &["acme"], Some("acme"), &["publish", "read", "verify"], None),
        token("other", &["other"], Some("other"), &["publish", "read", "verify"], None),
        token("both", &["acme", "other"], None, &["publish", "read", "actor.any"], None),
        token("reader", &["acme"], Some("acme"), &["read"], None),
        token("opener", &["acme"], Some("acme"), &["read", "payload.open"], None),
        token("writer", &["acme"], Some("acme"), &["publish"], None),
        token("auditor", &["acme"], Some("acme"), &["read", "log.read"], None),
        token("operator", &["*"], Some("acme"), &["publish", "read", "verify", "admin"], None),
        token("expired", &["acme"], Some("acme"), &["publish", "read", "verify"], Some("2001-01-01T00:00:00Z")),
    ];
    json!({ "tokens": tokens }).to_string()
}

/// Returns the settings of a test's publisher: the defaults of the settings table, with short intervals.
fn config(listener: TcpListener, token_file: PathBuf) -> Config {
    let settings = Settings::load([]).expect("the defaults are valid");
    Config {
        listener,
        token_file,
        token_file_interval: Duration::from_millis(20),
        limits: Limits {
            body_bytes: usize::try_from(settings.get(table::MAX_BODY).bytes()).unwrap(),
            events: MAX_EVENTS,
            event_bytes: usize::try_from(settings.get(table::MAX_EVENT).bytes()).unwrap(),
            members: settings.get(table::MAX_MEMBERS) as usize,
        },
        memory: Memory {
            bodies: bounds::REQUEST_BODIES.budget(&settings),
            queued: bounds::QUEUED_CALLS.budget(&settings),
            seal_waits: bounds::SEAL_WAITS.budget(&settings),
            answers: bounds::ANSWERS.budget(&settings),
            feeds: bounds::FEEDS.budget(&settings),
        },
        stream_heartbeat_interval: Duration::from_millis(200),
        max_streams: settings.get(table::SSE_STREAMS) as usize,
        max_sealed_wait: settings.get(table::SEALED_WAIT),
        poll_interval: Duration::from_millis(20),
        connection_limits: ConnectionLimits::from_settings(&settings),
        // Nothing listens on the discard port.
        broker_url: SecretUrl::new("nats://127.0.0.1:9"),
        broker_timeout: settings.get(table::NATS_TIMEOUT),
    }
}

impl Publisher {
    /// Starts a publisher on a new ledger, without a broker.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a publisher on a new ledger. `adjust` changes its settings.
    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::on(create_ledger(&Postgres::start().await).await, adjust).await
    }

    /// Starts a publisher on an existing ledger, next to others. `adjust` changes its settings.
    pub(crate) async fn on(ledger: Ledger, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::with_keyring(ledger, keyring(), adjust).await
    }

    /// Starts a publisher whose keyring cannot wrap data keys.
    pub(crate) async fn without_kek(ledger: Ledger) -> Self {
        let mut file: Value = serde_json::from_str(&sealbus_testkit::keyring()).unwrap();
        file["keys"].as_array_mut().unwrap().retain(|key| !key["id"].as_str().unwrap().starts_with("kek-"));
        Self::with_keyring(ledger, Keyring::parse(&file.to_string()).unwrap(), |_| {}).await
    }

    async fn with_keyring(ledger: Ledger, keyring: Keyring, adjust: impl FnOnce(&mut Config)) -> Self {
        let token_folder = tempfile::tempdir().unwrap();
        let file = token_folder.path().join("tokens.json");
        std::fs::write(&file, token_file()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = config(listener, file);
        adjust(&mut config);
        let keyring = Arc::new(keyring);
        let (sender, hints) = mpsc::channel(16);
        let mut registry = Registry::default();
        let broker = Arc::new(BrokerLink::default());
        let shutdown = CancellationToken::new();
        let health = Arc::new(health(&ledger, &broker, EXPECTED_MIGRATION, CHECK_TIMEOUT, shutdown.clone()));
        health.started();
        let resources = Resources {
            appender: Appender::start(&ledger, &keyring, &sealbus_testkit::ledger::append_settings(), Some(sender))
                .unwrap(),
            catalog: Arc::clone(&SHARED_CATALOG),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register(&mut registry),
            ledger: ledger.clone(),
            hints,
            broker,
            keyring,
            health,
        };
        let task = tokio::spawn(run(config, resources, shutdown.clone()));
        let http = reqwest::Client::new();
        Self { url, ledger, token_folder, registry: Arc::new(registry), shutdown, task, http }
    }

    /// Returns a request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Returns a request with a token.
    pub(crate) fn request_as(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(token)
    }

    /// Sends a GET request with a token.
    pub(crate) async fn get(&self, path: &str, token: &str) -> TestResponse {
        send(self.request_as(Method::GET, path, token)).await
    }

    /// Publishes JSON as `acme`.
    pub(crate) async fn publish(&self, plan: &str, body: &Value) -> TestResponse {
        send(self.publish_request(plan).json(body)).await
    }

    /// Returns a publish request as `acme`, without a body.
    pub(crate) fn publish_request(&self, plan: &str) -> RequestBuilder {
        self.request_as(Method::POST, &format!("/v1/plans/{plan}/events"), "acme")
    }

    /// Publishes text to plan `p` as `acme`. The text need not be JSON.
    pub(crate) async fn publish_text(&self, text: impl Into<reqwest::Body>) -> TestResponse {
        send(self.publish_request("p").header("content-type", "application/json").body(text)).await
    }

    /// Adds all queued events to the log.
    pub(crate) async fn seal(&self) {
        while self.ledger.log().seal_batch(1_000, &mut SealingState::default(), None).await.unwrap().leaves > 0 {}
    }

    /// Adds all queued events to the log, and publishes a signed checkpoint over it, as a sealer does after anchoring it.
    pub(crate) async fn anchor(&self) -> Note {
        self.seal().await;
        let signer = LogSigner::new(&keyring(), ORIGIN).unwrap();
        let empty = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap();
        let (log, signing) = (self.ledger.log(), Signing { signer: &signer, anchored: &empty, time: 1_000 });
        let note = log.sign_newest(signing, &log.basis().await.unwrap()).await.unwrap().unwrap();
        let size = self.ledger.log().newest_tree().await.unwrap().size;
        self.ledger.log().show_checkpoint(size, &note).await.unwrap();
        note
    }

    /// Returns the events of a plan of `acme`, as the API shows them.
    pub(crate) async fn events_of(&self, plan: &str) -> Vec<Value> {
        let response = self.get(&format!("/v1/plans/{plan}/events?limit=1000"), "acme").await;
        response.body["events"].as_array().unwrap_or_else(|| panic!("not a page of events: {response:?}")).clone()
    }

    /// Opens a stream.
    pub(crate) async fn stream(&self, path: &str, token: &str, last_event_id: Option<u64>) -> EventStream {
        let request = self.request_as(Method::GET, path, token);
        let request =
            last_event_id.into_iter().fold(request, |request, id| request.header("last-event-id", id.to_string()));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = EventStream {
            start_id: None,
            bytes: Box::pin(response.bytes_stream()),
            text: String::new(),
            blocks: VecDeque::new(),
        };
        let opening = events.next_block().await.unwrap();
        let rest = opening
            .strip_prefix(": the stream is open\nretry: 1000")
            .unwrap_or_else(|| panic!("unexpected opening of the stream: {opening}"));
        events.start_id = rest.strip_prefix("\nid: ").map(|id| id.parse().expect("the id is a number"));
        events
    }

    /// Returns the metrics as text.
    pub(crate) fn metrics(&self) -> String {
        sealbus_runtime::telemetry::metrics::exposition(&self.registry)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub status: u16,
    pub headers: HeaderMap<HeaderValue>,
    /// The body as JSON, or null if it is not JSON.
    pub body: Value,
    pub bytes: Bytes,
}

impl TestResponse {
    /// Returns the value of a header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts that the response is the problem with this code and its status. Returns the problem.
    #[track_caller]
    pub(crate) fn assert_problem(&self, code: &str) -> Value {
        let kind = ErrorKind::from_code(code).expect("the code exists");
        assert_eq!((self.status, self.body["code"].as_str()), (kind.status(), Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.body["status"], kind.status());
        assert_eq!(self.body["title"], kind.title());
        assert!(self.body["type"].is_string() && self.body["detail"].is_string(), "{self:?}");
        self.body.clone()
    }

    /// Asserts that the response is the problem with this code, and names this field and the rule that it breaks.
    #[track_caller]
    pub(crate) fn assert_field_problem(&self, code: &str, pointer: &str, rule: &str) {
        let problem = self.assert_problem(code);
        let named = (problem["errors"][0]["pointer"].as_str(), problem["errors"][0]["rule"].as_str());
        assert_eq!(named, (Some(pointer), Some(rule)), "{problem}");
    }
}

/// Sends a request and reads the whole response.
pub(crate) async fn send(request: RequestBuilder) -> TestResponse {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    TestResponse { status, headers, body: json::parse(&bytes).unwrap_or_default(), bytes }
}

/// A stream of events, as a client reads it.
pub(crate) struct EventStream {
    /// The id in the opening of the stream, after which it starts.
    pub start_id: Option<u64>,
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    text: String,
    blocks: VecDeque<String>,
}

impl EventStream {
    /// Returns the id and the JSON of the next event, or `None` if the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(u64, Value)> {
        loop {
            let block = self.next_block().await?;
            if block.starts_with(':') {
                continue;
            }
            let (id, data) = block.split_once('\n').expect("an event has an id and data");
            let id = id.strip_prefix("id: ").expect("an event has an id").parse().expect("the id is a number");
            let data = data.strip_prefix("data: ").expect("an event has data");
            return Some((id, json::parse(data.as_bytes()).expect("the data is JSON")));
        }
    }

    /// Returns the ids of the next `count` events.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.next().await.unwrap_or_else(|| panic!("the stream ended after the events {ids:?}")).0);
        }
        ids
    }

    /// Returns the next block of lines, which may be a comment.
    pub(crate) async fn next_block(&mut self) -> Option<String> {
        while self.blocks.is_empty() {
            let received = timeout(STREAM_TIMEOUT, self.bytes.next()).await;
            let bytes = received.expect("the stream sent neither an event nor a heartbeat")?;
            // A publisher that is told to stop ends its streams. One that is killed breaks them.
            self.text.push_str(std::str::from_utf8(&bytes.ok()?).expect("events are sent whole and in UTF-8"));
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.blocks.push_back(block.to_owned());
                self.text = rest.to_owned();
            }
        }
        self.blocks.pop_front()
    }
}
