//! The catalog: the event types, the schemas of their data, and the policies by which they are stored and delivered
//! (docs/spec/interface.md#catalog).
//!
//! It consists of YAML files with one module each: the built-in ones (`libs/core/catalog`) and those of the user. An event of a
//! type that no file declares is refused. `file` defines the form of a file, `build` checks its meaning, `schema` has the JSON
//! Schemas, `channel` the policies, and `settlement` the settlement types as a Rust enum.
//!
//! An exact type takes precedence over a pattern, and a longer pattern over a shorter one. A type, pattern or module may be
//! declared in one file only. A file of the user may redefine a built-in channel.

mod build;
mod channel;
mod file;
mod instance;
mod schema;
mod settlement;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use self::build::{Builder, Origin};
pub use self::channel::Channel;
use self::schema::Schema;
pub use self::settlement::{NotSettlement, SettlementType};
use crate::canonical::Node;
use crate::error::FieldError;
use crate::event::PayloadMode;
use crate::names::{TypePattern, is_reserved_type};
use crate::retry::RetryPolicy;

/// The built-in files, each with the name that errors call it by.
const SHIPPED: [(&str, &str); 3] = [
    ("built-in settlement.yaml", include_str!("../../catalog/settlement.yaml")),
    ("built-in channels.yaml", include_str!("../../catalog/channels.yaml")),
    ("built-in sealbus.yaml", include_str!("../../catalog/sealbus.yaml")),
];

/// All event types that may be published, with their rules.
#[derive(Debug)]
pub struct Catalog {
    types: BTreeMap<String, Entry>,
    /// Longer patterns first.
    patterns: Vec<Entry>,
    /// Every channel that a file defines or a type names.
    channels: BTreeMap<String, Channel>,
    /// The consumer for events that no other consumer of their channel takes.
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

/// An error in a catalog file: a sentence that names the file and the place in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CatalogError(String);

impl CatalogError {
    /// Returns the error of a value that has the right form but breaks a rule. `at` are the keys that lead to the value, joined
    /// by ` > `.
    fn value(file: &str, at: &str, detail: impl fmt::Display) -> Self {
        Self(format!("{file}: {at}: {detail}"))
    }
}

/// The rules for one version of an event type.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// The channel of the type.
    pub channel: &'a Channel,
    /// How the payload is stored.
    pub content: PayloadMode,
    schema: &'a Schema,
    /// JSON pointer to the data subject in the data, if the payload is encrypted.
    pub subject: Option<&'a str>,
    /// Metadata members that stay readable, if the payload is encrypted.
    pub clear: &'a [String],
}

impl Rule<'_> {
    /// Returns the faults of `data` by the schema of the type: at most the first 20, with pointers that begin at `/data`. The
    /// list is empty if the data satisfies the schema.
    pub fn validate(&self, data: Node<'_>) -> Vec<FieldError> {
        self.schema.validate(data)
    }
}

/// An event type, or a version of it, that is not in the catalog.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(String);

impl Catalog {
    /// Reads the built-in files and `files`, which are names and texts. Without `files` it cannot fail.
    ///
    /// # Errors
    /// Returns the first fault, with its file and place.
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

    /// Returns the rules for a version of an event type.
    ///
    /// # Errors
    /// [`Unknown`] if the catalog does not have the type or the version.
    pub fn resolve(&self, event_type: &str, version: u32) -> Result<Rule<'_>, Unknown> {
        let entry =
            self.find(event_type).ok_or_else(|| Unknown(format!("event type {event_type} is not in the catalog")))?;
        let schema = match &entry.kind {
            Kind::Pattern { schema, .. } => schema,
            Kind::Type { versions } => versions.get(&version).ok_or_else(|| {
                let (what, known) = (format!("version {version} of event type {event_type}"), versions.keys());
                Unknown(format!("{what} is not in the catalog, which has {known:?}"))
            })?,
        };
        let (channel, content) = (self.channel_of(entry), self.content_of(entry));
        Ok(Rule { channel, content, schema, subject: entry.subject.as_deref(), clear: &entry.clear })
    }

    /// Returns the retry policy for events of this type. A type that was removed from the catalog has the default policy,
    /// because its events are still in the ledger.
    pub fn policy(&self, event_type: &str) -> RetryPolicy {
        self.find(event_type).map(|entry| self.channel_of(entry).retry.clone()).unwrap_or_default()
    }

    /// Returns a type or pattern whose payloads are encrypted, if there is one. Encryption requires data keys.
    pub fn encrypts(&self) -> Option<&str> {
        let mut entries = self.types.values().chain(&self.patterns);
        let encrypted = entries.find(|entry| self.content_of(entry) == PayloadMode::Encrypted);
        encrypted.map(|entry| entry.name.as_str())
    }

    /// Returns the whole catalog as `GET /v1/catalog` answers it.
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

    fn content_of(&self, entry: &Entry) -> PayloadMode {
        entry.content.unwrap_or(self.channel_of(entry).content)
    }

    fn entry_json(&self, key: &str, entry: &Entry) -> Value {
        let mut shown = json!({
            key: entry.name, "module": entry.module, "description": entry.description, "channel": entry.channel,
            "content": self.content_of(entry), "own": is_reserved_type(&entry.name),
        });
        match &entry.kind {
            Kind::Pattern { schema, .. } => shown["schema"] = schema.source.clone(),
            Kind::Type { versions } => {
                let version_json =
                    |(version, schema): (&u32, &Schema)| (version.to_string(), json!({ "schema": schema.source }));
                shown["versions"] = versions.iter().map(version_json).collect();
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
