//! The streams of Sealbus and their creation (docs/spec/protocol.md#jetstream-streams).

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::server::Version;
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
const ATOMIC_BATCHES: Version = Version { major: 2, minor: 12 };
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

/// The part of a stream's configuration that Sealbus decides. The rest belongs to the operator.
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
    /// Whether messages can be neither deleted nor purged.
    deny_removal: bool,
}

fn streams(settings: &TopologySettings, server: Version) -> [StreamSpec; 3] {
    // JetStream's limit is an i64. No disk holds more bytes, so a larger limit is no limit.
    let max_bytes = i64::try_from(settings.max_bytes).unwrap_or(i64::MAX);
    let unlimited = StreamSpec {
        name: "",
        subjects: "",
        description: "",
        component: "",
        max_age: Duration::ZERO,
        max_bytes: -1,
        replicas: settings.replicas,
        atomic: false,
        deny_removal: false,
    };
    [
        StreamSpec {
            name: EVENTS,
            subjects: "events.>",
            description: "Events on their way to subscriptions: events.<tenant>.<priority>.<partition>.<type>",
            component: "relay",
            max_age: settings.max_age,
            max_bytes,
            atomic: server >= ATOMIC_BATCHES,
            ..unlimited
        },
        StreamSpec {
            name: DEAD_LETTERS,
            subjects: "dlq.>",
            description: "Copies of dead letters, for people: dlq.<subscription>.<tenant>.<type>; the ledger's positions are the truth",
            component: "dispatcher",
            max_age: settings.max_age,
            max_bytes: max_bytes / 10,
            ..unlimited
        },
        StreamSpec {
            name: CHECKPOINTS,
            subjects: "checkpoints.>",
            description: "Signed checkpoints of the log; nothing here can be deleted or purged",
            component: "sealer",
            deny_removal: true,
            ..unlimited
        },
    ]
}

impl StreamSpec {
    /// Returns `base` with the settings that Sealbus decides.
    fn applied_to(&self, base: Config) -> Config {
        let mut metadata = without_server_keys(base.metadata);
        metadata.extend(bus_metadata(self.component));
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
            deny_delete: self.deny_removal,
            deny_purge: self.deny_removal,
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

fn without_server_keys(mut metadata: HashMap<String, String>) -> HashMap<String, String> {
    metadata.retain(|key, _| !key.starts_with(SERVER_KEY_PREFIX));
    metadata
}

impl Broker {
    /// Creates missing streams, and updates the settings of existing ones that Sealbus decides. Their other settings
    /// and their messages stay. It is idempotent.
    pub async fn ensure_topology(&self, settings: &TopologySettings) -> Result<(), BrokerError> {
        for spec in streams(settings, self.version) {
            self.ensure_stream(&spec).await?;
        }
        Ok(())
    }

    async fn ensure_stream(&self, spec: &StreamSpec) -> Result<(), BrokerError> {
        let existing = match self.jetstream.get_stream(spec.name).await {
            Ok(stream) => Some(stream.cached_info().config.clone()),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(stream_error(spec.name, error)),
        };
        let Some(existing) = existing else {
            let defaults = Config {
                storage: StorageType::File,
                max_messages: -1,
                max_messages_per_subject: -1,
                ..Config::default()
            };
            self.jetstream
                .create_stream(spec.applied_to(defaults))
                .await
                .map_err(|error| create_error(spec.name, error))?;
            tracing::info!(stream = spec.name, "stream created");
            return Ok(());
        };
        let existing = Config { metadata: without_server_keys(existing.metadata.clone()), ..existing };
        let wanted = spec.applied_to(existing.clone());
        if wanted != existing {
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
    BrokerError::Refused { request, code: refusal.error_code().0, description: refusal.to_string() }
}
