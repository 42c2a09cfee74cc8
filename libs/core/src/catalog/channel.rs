//! Channels: named policies for retries, stored content, buffers and consumers.

use serde_json::{Map, Value, json};

use super::CatalogError;
use super::file::ChannelEntry;
use crate::duration;
use crate::event::PayloadMode;
use crate::retry::RetryPolicy;

/// A channel with its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Name of the channel.
    pub name: String,
    /// How failed deliveries are retried.
    pub retry: RetryPolicy,
    /// How payloads are stored, unless the type defines it.
    pub content: PayloadMode,
    /// Maximum number of the channel's events in a consumer's memory.
    pub buffer_size: u32,
    /// Consumers of the channel; if empty, the catalog's default consumer.
    pub consumers: Vec<String>,
}

impl Channel {
    /// Returns the policy of a channel that no file defines: the default retry policy, plain content, a buffer of 1,000 events.
    pub fn undefined(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            retry: RetryPolicy::default(),
            content: PayloadMode::Plain,
            buffer_size: 1_000,
            consumers: Vec::new(),
        }
    }

    /// Reads a channel of a file.
    pub(super) fn read(file: &str, name: &str, entry: ChannelEntry) -> Result<Self, CatalogError> {
        let refuse = |detail: &str| CatalogError::value(file, &format!("channels > {name}"), detail);
        let default = Self::undefined(name);
        let written =
            [("attempts", entry.attempts), ("backoff", entry.backoff), ("initial", entry.initial), ("max", entry.max)];
        let policy: Map<_, _> = written.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        let retry = serde_json::from_value(Value::Object(policy)).map_err(|error| refuse(&error.to_string()))?;
        let buffer_size = entry.buffer_size.unwrap_or(default.buffer_size);
        if buffer_size == 0 {
            return Err(refuse("buffer_size must be at least 1"));
        }
        let content = entry.content.unwrap_or(default.content);
        Ok(Self { name: default.name, retry, content, buffer_size, consumers: entry.consumers })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "attempts": self.retry.attempts, "backoff": self.retry.backoff,
            "initial": duration::display(self.retry.initial), "max": duration::display(self.retry.max),
            "content": self.content, "buffer_size": self.buffer_size, "consumers": self.consumers,
        })
    }
}
