//! The streams that Sealbus needs, as data, and how they come to be (PROTOCOL, `JetStream`).

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::server::Version;
use crate::{Broker, BrokerError};

/// The stream that holds every event for a while.
pub const EVENTS: &str = "SEALBUS_EVENTS";
/// The stream that holds copies of dead letters, for people.
pub const DEAD_LETTERS: &str = "SEALBUS_DEAD_LETTERS";
/// The stream that holds the log's checkpoints, out of the database's reach.
pub const CHECKPOINTS: &str = "SEALBUS_CHECKPOINTS";

/// Within this time the stream knows a message's id again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(30);
/// From this version on the server takes atomic batches.
const ATOMIC_BATCHES: Version = Version { major: 2, minor: 12 };
/// Keys of metadata that belong to the server begin with this.
const SERVERS_OWN: &str = "_nats";

/// What an operator decides about the streams.
#[derive(Clone, Debug)]
pub struct TopologySettings {
    /// Copies that `JetStream` keeps of each stream.
    pub replicas: usize,
    /// How long `SEALBUS_EVENTS` keeps an event; the ledger keeps it in any case.
    pub max_age: Duration,
    /// How large `SEALBUS_EVENTS` may grow before it discards its oldest, in bytes.
    pub max_bytes: u64,
}

impl Default for TopologySettings {
    /// One copy, seven days, 10 GiB.
    fn default() -> Self {
        Self { replicas: 1, max_age: Duration::from_hours(7 * 24), max_bytes: 10 << 30 }
    }
}

/// A stream as Sealbus wants it. What is not in here is the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StreamSpec {
    name: &'static str,
    subjects: &'static str,
    description: &'static str,
    component: &'static str,
    max_age: Duration,
    max_bytes: i64,
    replicas: usize,
    atomic: bool,
    /// Whether nobody may take a message out.
    keep: bool,
}

fn streams(settings: &TopologySettings, server: Version) -> [StreamSpec; 3] {
    let unlimited = StreamSpec {
        name: "",
        subjects: "",
        description: "",
        component: "",
        max_age: Duration::ZERO,
        max_bytes: -1,
        replicas: settings.replicas,
        atomic: false,
        keep: false,
    };
    [
        StreamSpec {
            name: EVENTS,
            subjects: "events.>",
            description: "Events on their way to subscriptions: events.<tenant>.<priority>.<partition>.<type>",
            component: "relay",
            max_age: settings.max_age,
            max_bytes: i64::try_from(settings.max_bytes).unwrap_or(i64::MAX),
            atomic: server >= ATOMIC_BATCHES,
            ..unlimited
        },
        StreamSpec {
            name: DEAD_LETTERS,
            subjects: "dlq.>",
            description: "Copies of dead letters, for people: dlq.<subscription>.<tenant>.<type>; the ledger's positions are the truth",
            component: "dispatcher",
            max_age: settings.max_age,
            max_bytes: i64::try_from(settings.max_bytes / 10).unwrap_or(i64::MAX),
            ..unlimited
        },
        StreamSpec {
            name: CHECKPOINTS,
            subjects: "checkpoints.>",
            description: "Signed checkpoints of the log; nothing here can be deleted or purged",
            component: "sealer",
            keep: true,
            ..unlimited
        },
    ]
}

impl StreamSpec {
    /// The stream's configuration: `there` with what Sealbus decides put in its place.
    fn over(&self, there: Config) -> Config {
        let mut metadata = there.metadata;
        metadata.retain(|key, _| !key.starts_with(SERVERS_OWN));
        metadata.extend(own_metadata(self.component));
        Config {
            name: self.name.to_owned(),
            subjects: vec![self.subjects.to_owned()],
            description: Some(self.description.to_owned()),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            num_replicas: self.replicas,
            duplicate_window: if self.max_age.is_zero() {
                DUPLICATE_WINDOW
            } else {
                DUPLICATE_WINDOW.min(self.max_age)
            },
            allow_direct: true,
            allow_atomic_publish: self.atomic,
            deny_delete: self.keep,
            deny_purge: self.keep,
            metadata,
            ..there
        }
    }
}

/// What is written on a stream or consumer: whose version made it, and the role that it serves.
pub(crate) fn own_metadata(component: &str) -> [(String, String); 2] {
    let entry = |key: &str, value: &str| (format!("io.sealbus.{key}"), value.to_owned());
    [entry("version", env!("CARGO_PKG_VERSION")), entry("component", component)]
}

fn without_servers_own(mut metadata: HashMap<String, String>) -> HashMap<String, String> {
    metadata.retain(|key, _| !key.starts_with(SERVERS_OWN));
    metadata
}

impl Broker {
    /// Creates the streams that are missing, and sets what Sealbus decides about those that are there; the rest of their
    /// configuration, and all that they hold, stays. Repeating it changes nothing.
    pub async fn ensure_topology(&self, settings: &TopologySettings) -> Result<(), BrokerError> {
        for spec in streams(settings, self.version) {
            self.ensure_stream(&spec).await?;
        }
        Ok(())
    }

    async fn ensure_stream(&self, spec: &StreamSpec) -> Result<(), BrokerError> {
        let there = match self.jetstream.get_stream(spec.name).await {
            Ok(stream) => Some(stream.cached_info().config.clone()),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(stream_error(spec.name, error)),
        };
        let Some(there) = there else {
            let fresh = Config {
                storage: StorageType::File,
                max_messages: -1,
                max_messages_per_subject: -1,
                ..Config::default()
            };
            self.jetstream.create_stream(spec.over(fresh)).await.map_err(|error| create_error(spec.name, error))?;
            tracing::info!(stream = spec.name, "stream created");
            return Ok(());
        };
        let there = Config { metadata: without_servers_own(there.metadata.clone()), ..there };
        let wanted = spec.over(there.clone());
        if wanted != there {
            self.jetstream.update_stream(&wanted).await.map_err(|error| create_error(spec.name, error))?;
            tracing::info!(stream = spec.name, "stream updated");
        }
        Ok(())
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.code() == 404)
}

pub(crate) fn stream_error(stream: &str, error: GetStreamError) -> BrokerError {
    let what = format!("stream {stream}");
    match error.kind() {
        GetStreamErrorKind::JetStream(refusal) => refused(what, &refusal),
        _ if answers_nobody(&error) => BrokerError::NoJetStream,
        _ => BrokerError::Unanswered { what, cause: error.into() },
    }
}

fn answers_nobody(error: &GetStreamError) -> bool {
    let request = error.source().and_then(|source| source.downcast_ref::<RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

fn create_error(stream: &str, error: CreateStreamError) -> BrokerError {
    let what = format!("stream {stream}");
    match error.kind() {
        CreateStreamErrorKind::JetStream(refusal) => refused(what, &refusal),
        CreateStreamErrorKind::JetStreamUnavailable => BrokerError::NoJetStream,
        _ => BrokerError::Unanswered { what, cause: error.into() },
    }
}

pub(crate) fn refused(what: String, refusal: &async_nats::jetstream::Error) -> BrokerError {
    BrokerError::Refused { what, code: refusal.error_code().0, description: refusal.to_string() }
}
