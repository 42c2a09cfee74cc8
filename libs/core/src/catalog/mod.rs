//! The catalog: which event types there are, what their data looks like, and by which policy they are kept and delivered.
//!
//! It is made of YAML files, one module a file: the shipped ones (`libs/core/catalog`, built into the program) and the
//! user's own beside them. What is in no file is refused by name. The form of a file is in `file`, its meaning in `build`,
//! JSON Schemas in `schema`, policies in `channel`, the settlement types as Rust knows them in `settlement`.
//!
//! An exact type counts before a pattern, and a longer pattern before a shorter one. A type, pattern or module stands in
//! one file only; a channel that Sealbus ships may be defined anew in a file of the user's, whose line then counts.

mod build;
mod channel;
mod error;
mod file;
mod own;
mod schema;
mod settlement;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::build::{Builder, Origin};
pub use self::channel::Channel;
pub use self::error::CatalogError;
pub use self::own::is_own;
use self::schema::Schema;
pub use self::settlement::{NotSettlement, SettlementType};
use crate::error::FieldError;
use crate::event::PayloadMode;
use crate::names::TypePattern;
use crate::retry::RetryPolicy;

const SHIPPED: [(&str, &str); 3] = [
    ("built-in settlement.yaml", include_str!("../../catalog/settlement.yaml")),
    ("built-in channels.yaml", include_str!("../../catalog/channels.yaml")),
    ("built-in sealbus.yaml", include_str!("../../catalog/sealbus.yaml")),
];

/// Every event type that may be published, with its rules.
#[derive(Debug)]
pub struct Catalog {
    types: BTreeMap<String, Entry>,
    /// The longer first.
    patterns: Vec<Entry>,
    /// Each channel that a file defines or a type names.
    channels: BTreeMap<String, Channel>,
    default_consumer: Option<String>,
}

/// A type or a pattern.
#[derive(Debug)]
struct Entry {
    module: String,
    name: String,
    description: String,
    channel: String,
    content: Option<PayloadMode>,
    subject: Option<String>,
    clear: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Type { versions: BTreeMap<u32, Schema> },
    Pattern { pattern: TypePattern, schema: Schema },
}

/// What the catalog says of one version of one type.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// The channel of the type.
    pub channel: &'a Channel,
    /// What is kept of its payload.
    pub content: PayloadMode,
    schema: &'a Schema,
    /// Encrypted: the JSON pointer to the data subject, in the data.
    pub subject: Option<&'a str>,
    /// Encrypted: metadata members that stay readable.
    pub clear: &'a [String],
}

impl Rule<'_> {
    /// What data breaks of the type's schema, at most its first twenty faults, with pointers that begin at `/data`. Empty:
    /// nothing.
    pub fn validate(&self, data: &Value) -> Vec<FieldError> {
        self.schema.validate(data, "/data")
    }
}

/// A type, or a version of one, that no file knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No file knows the type.
    #[error("event type {0} is not in the catalog")]
    Type(String),
    /// The type is known, the version is not.
    #[error("version {version} of event type {event_type} is not in the catalog, which has {known:?}")]
    Version {
        /// The type.
        event_type: String,
        /// The version asked for.
        version: u32,
        /// The versions that there are.
        known: Vec<u32>,
    },
}

impl Catalog {
    /// The shipped files alone.
    pub fn shipped() -> Self {
        Self::read(&[]).expect("the shipped files are built in and a test reads them")
    }

    /// The shipped files and these: name and text each.
    ///
    /// # Errors
    /// The first fault, with file and place.
    pub fn read(files: &[(String, String)]) -> Result<Self, CatalogError> {
        let mut builder = Builder::default();
        for (name, text) in SHIPPED {
            builder.add(name, Origin::Shipped, file::parse(name, text)?)?;
        }
        for (name, text) in files {
            builder.add(name, Origin::User, file::parse(name, text)?)?;
        }
        Ok(builder.finish())
    }

    /// The rule for a version of a type.
    ///
    /// # Errors
    /// [`Unknown`] where no file has it.
    pub fn resolve(&self, event_type: &str, version: u32) -> Result<Rule<'_>, Unknown> {
        let entry = self.find(event_type).ok_or_else(|| Unknown::Type(event_type.to_owned()))?;
        let schema = match &entry.kind {
            Kind::Pattern { schema, .. } => schema,
            Kind::Type { versions } => versions.get(&version).ok_or_else(|| Unknown::Version {
                event_type: event_type.to_owned(),
                version,
                known: versions.keys().copied().collect(),
            })?,
        };
        let channel = self.channel_of(entry);
        let content = entry.content.unwrap_or(channel.content);
        Ok(Rule { channel, content, schema, subject: entry.subject.as_deref(), clear: &entry.clear })
    }

    /// How a failed delivery of an event of this type is tried again. A type that the catalog no longer knows has the
    /// default policy: its events are still in the ledger.
    pub fn policy(&self, event_type: &str) -> RetryPolicy {
        self.find(event_type).map_or_else(|| Channel::undefined("").retry, |entry| self.channel_of(entry).retry.clone())
    }

    /// All channels, by name.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// A type or pattern whose payloads are to be encrypted, if there is one: then data keys are needed.
    pub fn encrypts(&self) -> Option<&str> {
        let encrypted =
            |entry: &&Entry| entry.content.unwrap_or(self.channel_of(entry).content) == PayloadMode::Encrypted;
        self.types.values().chain(&self.patterns).find(encrypted).map(|entry| entry.name.as_str())
    }

    /// Takes what no other consumer of its channel takes.
    pub fn default_consumer(&self) -> Option<&str> {
        self.default_consumer.as_deref()
    }

    /// The types of a module, in order of their names; patterns are not types.
    pub fn types_of_module(&self, module: &str) -> impl Iterator<Item = &str> {
        self.types.values().filter(move |entry| entry.module == module).map(|entry| entry.name.as_str())
    }

    /// The whole catalog, as `GET /v1/catalog` shows it.
    pub fn to_json(&self) -> Value {
        json!({
            "types": self.types.values().map(|entry| self.entry_json("type", entry)).collect::<Vec<_>>(),
            "patterns": self.patterns.iter().map(|entry| self.entry_json("pattern", entry)).collect::<Vec<_>>(),
            "channels": self.channels.values().map(Channel::to_json).collect::<Vec<_>>(),
            "default_consumer": self.default_consumer,
        })
    }

    fn find(&self, event_type: &str) -> Option<&Entry> {
        self.types.get(event_type).or_else(|| {
            self.patterns
                .iter()
                .find(|entry| matches!(&entry.kind, Kind::Pattern { pattern, .. } if pattern.matches(event_type)))
        })
    }

    fn channel_of(&self, entry: &Entry) -> &Channel {
        self.channels.get(&entry.channel).expect("the builder makes a channel for each name that an entry gives")
    }

    fn entry_json(&self, key: &str, entry: &Entry) -> Value {
        let content = entry.content.unwrap_or(self.channel_of(entry).content);
        let mut shown = json!({
            key: entry.name, "module": entry.module, "description": entry.description, "channel": entry.channel,
            "content": content.as_str(), "own": is_own(&entry.name),
        });
        match &entry.kind {
            Kind::Pattern { schema, .. } => shown["schema"] = schema.source().clone(),
            Kind::Type { versions } => {
                let versions = versions
                    .iter()
                    .map(|(version, schema)| (version.to_string(), json!({ "schema": schema.source() })));
                shown["versions"] = Value::Object(versions.collect());
            }
        }
        if let Some(subject) = &entry.subject {
            shown["subject"] = json!(subject);
        }
        if !entry.clear.is_empty() {
            shown["clear"] = json!(entry.clear);
        }
        shown
    }
}

#[cfg(test)]
mod tests;
