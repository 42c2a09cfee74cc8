//! From files to a catalog: what each says is checked, and nothing is defined twice.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::{CatalogFile, RuleEntry};
use super::schema::Schema;
use super::{Catalog, CatalogError, Channel, Entry, Kind, own};
use crate::names::{EventType, TypePattern};

/// Whose file it is. The user's channels may replace the shipped ones, and the bus's own types are the shipped files' alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Shipped,
    User,
}

/// What has been read so far, with the file that each name came from.
#[derive(Default)]
pub(super) struct Builder {
    entries: Vec<Entry>,
    channels: BTreeMap<String, Channel>,
    default_consumer: Option<String>,
    files: BTreeMap<(&'static str, String), (String, Origin)>,
}

impl Builder {
    /// Takes a file in.
    pub(super) fn add(&mut self, file: &str, origin: Origin, content: CatalogFile) -> Result<(), CatalogError> {
        let module = content.module;
        check_token(file, "module", &module)?;
        self.claim("module", &module, file, origin, false)?;
        for (name, entry) in content.channels {
            check_token(file, &format!("channels > {name}"), &name)?;
            self.claim("channel", &name, file, origin, true)?;
            self.channels.insert(name.clone(), Channel::read(file, &name, entry)?);
        }
        if let Some(consumer) = content.default_consumer {
            self.claim("default consumer", &consumer, file, origin, true)?;
            self.default_consumer = Some(consumer);
        }
        let default_channel = content.channel.unwrap_or_else(|| module.clone());
        check_token(file, "channel", &default_channel)?;
        let place = Place { file, module: &module, default_channel: &default_channel };
        for (name, entry) in content.types {
            if own::is_own(&name) && origin == Origin::User {
                return Err(place.refuse(
                    format!("types > {name}"),
                    "belongs to Sealbus: key.*, delivery.* and subject.erased are its own",
                ));
            }
            self.claim("event type", &name, file, origin, false)?;
            self.entries.push(place.event_type(name, entry)?);
        }
        for (name, entry) in content.patterns {
            self.claim("pattern", &name, file, origin, false)?;
            self.entries.push(place.pattern(name, entry)?);
        }
        Ok(())
    }

    /// The catalog. Where patterns overlap, the longer one is asked first.
    pub(super) fn finish(self) -> Catalog {
        let mut types = BTreeMap::new();
        let mut patterns = Vec::new();
        for entry in self.entries {
            match &entry.kind {
                Kind::Type { .. } => drop(types.insert(entry.name.clone(), entry)),
                Kind::Pattern { .. } => patterns.push(entry),
            }
        }
        patterns.sort_by(|a, b| b.name.len().cmp(&a.name.len()).then_with(|| a.name.cmp(&b.name)));
        let mut channels = self.channels;
        for entry in types.values().chain(&patterns) {
            channels.entry(entry.channel.clone()).or_insert_with(|| Channel::undefined(entry.channel.as_str()));
        }
        Catalog { types, patterns, channels, default_consumer: self.default_consumer }
    }

    /// Notes where a name is defined, and refuses the second place; `replace` lets a user's file stand in for a shipped one.
    fn claim(
        &mut self,
        what: &'static str,
        name: &str,
        file: &str,
        origin: Origin,
        replace: bool,
    ) -> Result<(), CatalogError> {
        // There is one default consumer, whatever its name.
        let key = if what == "default consumer" { String::new() } else { name.to_owned() };
        let before = self.files.insert((what, key), (file.to_owned(), origin));
        match before {
            Some((_, Origin::Shipped)) if replace && origin == Origin::User => Ok(()),
            Some((first, _)) => {
                Err(CatalogError::Twice { what, name: name.to_owned(), first, second: file.to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// The file that an entry stands in.
struct Place<'a> {
    file: &'a str,
    module: &'a str,
    default_channel: &'a str,
}

impl Place<'_> {
    fn event_type(&self, name: String, mut entry: RuleEntry) -> Result<Entry, CatalogError> {
        let at = format!("types > {name}");
        EventType::parse(&name).map_err(|error| self.refuse(at.as_str(), error.to_string()))?;
        let (Some(written), None) = (entry.versions.take(), entry.schema.take()) else {
            return Err(self.refuse(at, "a type has versions, each with its schema"));
        };
        if written.is_empty() {
            return Err(self.refuse(at, "versions names at least one"));
        }
        let mut versions = BTreeMap::new();
        for (version, content) in written {
            let at = format!("{at} > versions > {version}");
            if !(1..=i32::MAX.unsigned_abs()).contains(&version) {
                return Err(self.refuse(at, "a version is 1 to 2147483647"));
            }
            versions.insert(version, self.schema(&at, content.schema)?);
        }
        self.entry(&at, name, entry, Kind::Type { versions })
    }

    fn pattern(&self, name: String, mut entry: RuleEntry) -> Result<Entry, CatalogError> {
        let at = format!("patterns > {name}");
        let pattern = TypePattern::parse(&name).map_err(|error| self.refuse(at.as_str(), error.to_string()))?;
        let (None, Some(schema)) = (entry.versions.take(), entry.schema.take()) else {
            return Err(self.refuse(at, "a pattern has one schema, for all versions"));
        };
        let schema = self.schema(&at, schema)?;
        self.entry(&at, name, entry, Kind::Pattern { pattern, schema })
    }

    fn schema(&self, at: &str, source: Value) -> Result<Schema, CatalogError> {
        Schema::compile(source).map_err(|detail| self.refuse(format!("{at} > schema"), detail))
    }

    fn entry(&self, at: &str, name: String, entry: RuleEntry, kind: Kind) -> Result<Entry, CatalogError> {
        let RuleEntry { description, channel, content, subject, clear, .. } = entry;
        let channel = channel.unwrap_or_else(|| self.default_channel.to_owned());
        check_token(self.file, &format!("{at} > channel"), &channel)?;
        if let Some(pointer) = &subject
            && !is_pointer(pointer)
        {
            return Err(self.refuse(format!("{at} > subject"), "is a JSON pointer into the data, such as /customer/id"));
        }
        Ok(Entry { module: self.module.to_owned(), name, description, channel, content, subject, clear, kind })
    }

    fn refuse(&self, at: impl Into<String>, detail: impl Into<String>) -> CatalogError {
        CatalogError::Value { file: self.file.to_owned(), at: at.into(), detail: detail.into() }
    }
}

/// A JSON pointer (RFC 6901) to a part of the data.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|escaped| escaped.starts_with(['0', '1']))
}

/// Modules and channels are labels of metrics and words of commands: 1 to 48 of `A-Za-z0-9_-`.
fn check_token(file: &str, at: &str, name: &str) -> Result<(), CatalogError> {
    let fits = (1..=48).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(CatalogError::Value {
        file: file.to_owned(),
        at: at.to_owned(),
        detail: format!("{name:?} is not 1 to 48 of A-Za-z0-9_-"),
    })
}
