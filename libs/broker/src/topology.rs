//! The streams of Sealbus and their creation (docs/spec/protocol.md#jetstream-streams).

use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};

use crate::{Broker, BrokerError};

/// The stream of all events, which it keeps for a limited time.
pub const EVENTS: &str = "SEALBUS_EVENTS";
/// The stream of copies of dead letters.
pub const DEAD_LETTERS: &str = "SEALBUS_DEAD_LETTERS";
/// The stream of the log's checkpoints, an anchor that the database cannot change.
pub const CHECKPOINTS: &str = "SEALBUS_CHECKPOINTS";

/// How long a stream remembers message ids to detect duplicates.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(30);
/// The first version of nats-server with atomic batches.
const ATOMIC_BATCHES: (u32, u32) = (2, 12);
/// The prefix of metadata keys that nats-server sets itself.
const SERVER_KEY_PREFIX: &str = "_nats";

/// The limits of the streams that an operator sets.
#[derive(Clone, Debug)]
pub struct TopologySettings {
    /// The number of replicas of each stream: 1, or 3 or 5 in a cluster.
    pub replicas: usize,
    /// How long `SEALBUS_EVENTS` and `SEALBUS_DEAD_LETTERS` keep a message. The ledger keeps events for ever.
    pub max_age: Duration,
    /// The size in bytes from which `SEALBUS_EVENTS` discards its oldest messages. `SEALBUS_DEAD_LETTERS` has a tenth
    /// of it.
    pub max_bytes: u64,
}

struct StreamSpec {
    name: &'static str,
    subjects: &'static str,
    description: &'static str,
    component: &'static str,
    max_age: Duration,
    max_bytes: i64,
}

fn streams(settings: &TopologySettings) -> [StreamSpec; 3] {
    // JetStream's limit is an i64. No disk holds more bytes, so a larger limit is no limit.
    let max_bytes = i64::try_from(settings.max_bytes).unwrap_or(i64::MAX);
    [
        StreamSpec {
            name: EVENTS,
            subjects: "events.>",
            description: "Events on their way to subscriptions: events.<tenant>.<priority>.<partition>.<type>",
            component: "relay",
            max_age: settings.max_age,
            max_bytes,
        },
        StreamSpec {
            name: DEAD_LETTERS,
            subjects: "dlq.>",
            description: "Copies of dead letters, for people: dlq.<subscription>.<tenant>.<type>; the ledger's positions are the truth",
            component: "dispatcher",
            max_age: settings.max_age,
            max_bytes: max_bytes / 10,
        },
        StreamSpec {
            name: CHECKPOINTS,
            subjects: "checkpoints.>",
            description: "Signed checkpoints of the log; nothing here can be deleted or purged",
            component: "sealer",
            max_age: Duration::ZERO,
            max_bytes: -1,
        },
    ]
}

impl StreamSpec {
    /// Returns `base` with the settings that Sealbus decides. The rest belongs to the operator.
    fn applied_to(&self, base: Config, replicas: usize, server: (u32, u32)) -> Config {
        let mut metadata = base.metadata;
        metadata.extend(bus_metadata(self.component));
        let deny_removal = self.name == CHECKPOINTS;
        Config {
            name: self.name.to_owned(),
            subjects: vec![self.subjects.to_owned()],
            description: Some(self.description.to_owned()),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            num_replicas: replicas,
            // JetStream refuses a window that is longer than a limited age.
            duplicate_window: if self.max_age.is_zero() {
                DUPLICATE_WINDOW
            } else {
                DUPLICATE_WINDOW.min(self.max_age)
            },
            allow_direct: true,
            allow_atomic_publish: self.name == EVENTS && server >= ATOMIC_BATCHES,
            deny_delete: deny_removal,
            deny_purge: deny_removal,
            metadata,
            ..base
        }
    }
}

/// Returns the metadata of a stream or consumer: the version of Sealbus that set it up, and the role that uses it.
pub(crate) fn bus_metadata(component: &str) -> [(String, String); 2] {
    let entry = |key: &str, value: &str| (format!("io.sealbus.{key}"), value.to_owned());
    [entry("version", env!("CARGO_PKG_VERSION")), entry("component", component)]
}

impl Broker {
    /// Creates missing streams, and updates the settings of existing ones that Sealbus decides. Their other settings
    /// and their messages stay. It is idempotent.
    pub async fn ensure_topology(&self, settings: &TopologySettings) -> Result<(), BrokerError> {
        for spec in streams(settings) {
            self.ensure_stream(&spec, settings.replicas).await?;
        }
        Ok(())
    }

    /// Returns a stream with its state.
    pub(crate) async fn stream(&self, name: &str) -> Result<Stream, BrokerError> {
        self.jetstream.get_stream(name).await.map_err(|error| stream_error(name, error))
    }

    async fn ensure_stream(&self, spec: &StreamSpec, replicas: usize) -> Result<(), BrokerError> {
        let mut existing = match self.jetstream.get_stream(spec.name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) if matches!(error.kind(), GetStreamErrorKind::JetStream(refusal) if refusal.code() == 404) => {
                let defaults = Config {
                    storage: StorageType::File,
                    max_messages: -1,
                    max_messages_per_subject: -1,
                    ..Config::default()
                };
                let created = self.jetstream.create_stream(spec.applied_to(defaults, replicas, self.version)).await;
                created.map_err(|error| create_error(spec.name, error))?;
                tracing::info!(stream = spec.name, "stream created");
                return Ok(());
            }
            Err(error) => return Err(stream_error(spec.name, error)),
        };
        existing.metadata.retain(|key, _| !key.starts_with(SERVER_KEY_PREFIX));
        let wanted = spec.applied_to(existing.clone(), replicas, self.version);
        if wanted != existing {
            self.jetstream.update_stream(&wanted).await.map_err(|error| create_error(spec.name, error))?;
            tracing::info!(stream = spec.name, "stream updated");
        }
        Ok(())
    }
}

fn stream_error(stream: &str, error: GetStreamError) -> BrokerError {
    let object = format!("stream {stream}");
    match error.kind() {
        GetStreamErrorKind::JetStream(refusal) => refused(object, &refusal),
        _ if has_no_responders(&error) => BrokerError::NoJetStream,
        _ => BrokerError::Unanswered { request: object, cause: error.into() },
    }
}

/// Returns whether nothing subscribes to JetStream's API, so that it is not enabled or still starting.
fn has_no_responders(error: &GetStreamError) -> bool {
    let request = error.source().and_then(|source| source.downcast_ref::<RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

fn create_error(stream: &str, error: CreateStreamError) -> BrokerError {
    let object = format!("stream {stream}");
    match error.kind() {
        CreateStreamErrorKind::JetStream(refusal) => refused(object, &refusal),
        CreateStreamErrorKind::JetStreamUnavailable => BrokerError::NoJetStream,
        _ => BrokerError::Unanswered { request: object, cause: error.into() },
    }
}

/// Returns the error of a request that JetStream refused. `request` names its object, such as `stream SEALBUS_EVENTS`.
pub(crate) fn refused(request: String, refusal: &async_nats::jetstream::Error) -> BrokerError {
    BrokerError::Refused { request, description: refusal.to_string() }
}
