//! The form of a catalog file in YAML. Unknown keys are refused. [`super::build`] checks the meaning.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::CatalogError;
use crate::event::PayloadMode;
use crate::json;

/// A file, which is one module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogFile {
    pub module: String,
    pub channel: Option<String>,
    pub default_consumer: Option<String>,
    #[serde(default)]
    pub channels: BTreeMap<String, ChannelEntry>,
    #[serde(default)]
    pub types: BTreeMap<String, RuleEntry>,
    #[serde(default)]
    pub patterns: BTreeMap<String, RuleEntry>,
}

/// The policy of a channel. Members that are left out have their default. The first four belong to
/// [`crate::retry::RetryPolicy`], which parses them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelEntry {
    pub attempts: Option<Value>,
    pub backoff: Option<Value>,
    pub initial: Option<Value>,
    pub max: Option<Value>,
    pub content: Option<PayloadMode>,
    pub buffer_size: Option<u32>,
    #[serde(default)]
    pub consumers: Vec<String>,
}

/// An event type, which has versions, or a pattern, which has one schema for all versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    #[serde(default)]
    pub description: String,
    pub channel: Option<String>,
    pub content: Option<PayloadMode>,
    pub subject: Option<String>,
    #[serde(default)]
    pub clear: Vec<String>,
    pub versions: Option<BTreeMap<u32, VersionEntry>>,
    /// The text `any`, or a JSON Schema.
    #[serde(default, deserialize_with = "json::deserialize_some")]
    pub schema: Option<Value>,
}

/// A version of the data of an event type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionEntry {
    /// The text `any`, or a JSON Schema.
    #[serde(deserialize_with = "json::deserialize")]
    pub schema: Value,
}

/// Parses the text of a file. `name` is the name of the file in errors, which also have the line and the column of the fault,
/// counted from 1, or 0 if they are not known.
pub(super) fn parse(name: &str, text: &str) -> Result<CatalogFile, CatalogError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
        // The message repeats the place at its end.
        let message = error.to_string();
        let detail = message.rsplit_once(" at line ").map_or(message.as_str(), |(detail, _)| detail);
        CatalogError(format!("{name}:{line}:{column}: {detail}"))
    })
}
