//! The form of a catalog file, as YAML has it. Unknown keys are refused; meaning is checked in [`super::build`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CatalogError;
use crate::event::PayloadMode;

/// One file: one module.
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

/// A channel's policy; what is left out has its default. The first four are [`crate::retry::RetryPolicy`]'s, which reads
/// them itself.
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

/// An event type, or types by a pattern: the one has versions, the other one schema for all.
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
    /// The word `any`, or a JSON Schema.
    pub schema: Option<Value>,
}

/// A version of a type's data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionEntry {
    /// The word `any`, or a JSON Schema.
    pub schema: Value,
}

/// Reads a file's text. `name` is what errors call it.
pub(super) fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, CatalogError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let location = error.location();
        CatalogError::Form {
            file: name.to_owned(),
            line: location.map_or(0, |location| location.line()),
            column: location.map_or(0, |location| location.column()),
            detail: without_place(&error.to_string()),
        }
    })
}

/// The message without the place at its end, which stands in front of it already.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message).to_owned()
}
