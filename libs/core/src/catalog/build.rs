//! Building a catalog from files: checks the meaning of each file, and that no name is defined twice.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;

use super::file::{CatalogFile, RuleEntry};
use super::schema::Schema;
use super::{Catalog, CatalogError, Channel, Entry, Kind};
use crate::names::{EventType, TypePattern, is_reserved_type};

/// The origin of a file. A user's file may replace built-in channels. Only built-in files may define reserved types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Shipped,
    User,
}

/// The content of the files read so far, and the file in which each name was defined.
#[derive(Default)]
pub(super) struct Builder {
    entries: Vec<Entry>,
    channels: BTreeMap<String, Channel>,
    default_consumer: Option<String>,
    files: BTreeMap<(&'static str, String), (String, Origin)>,
}

impl Builder {
    /// Adds a file.
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
            if is_reserved_type(&name) && origin == Origin::User {
                let detail = "is reserved: only Sealbus defines this type";
                return Err(place.refuse(&format!("types > {name}"), detail));
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

    /// Returns the catalog. Longer patterns come first, because they take precedence over shorter ones.
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

    /// Records the file in which a name is defined, and refuses a second definition. With `replace`, a definition in a user's
    /// file replaces a built-in one.
    fn claim(
        &mut self,
        what: &'static str,
        name: &str,
        file: &str,
        origin: Origin,
        replace: bool,
    ) -> Result<(), CatalogError> {
        // There is only one default consumer, whatever its name.
        let key = if what == "default consumer" { String::new() } else { name.to_owned() };
        let before = self.files.insert((what, key), (file.to_owned(), origin));
        match before {
            Some((_, Origin::Shipped)) if replace && origin == Origin::User => Ok(()),
            Some((first, _)) => Err(CatalogError(format!("{what} {name} is defined twice: in {first} and in {file}"))),
            None => Ok(()),
        }
    }
}

/// The file in which an entry is defined.
struct Place<'a> {
    file: &'a str,
    module: &'a str,
    default_channel: &'a str,
}

impl Place<'_> {
    fn event_type(&self, name: String, mut entry: RuleEntry) -> Result<Entry, CatalogError> {
        let at = format!("types > {name}");
        EventType::parse(&name).map_err(|error| self.refuse(&at, error))?;
        let (Some(written), None) = (entry.versions.take(), entry.schema.take()) else {
            return Err(self.refuse(&at, "a type must have versions, each with a schema"));
        };
        if written.is_empty() {
            return Err(self.refuse(&at, "versions must have at least one entry"));
        }
        let mut versions = BTreeMap::new();
        for (version, content) in written {
            let at = format!("{at} > versions > {version}");
            if !(1..=i32::MAX.unsigned_abs()).contains(&version) {
                return Err(self.refuse(&at, "a version must be 1 to 2147483647"));
            }
            versions.insert(version, self.schema(&at, content.schema)?);
        }
        self.entry(&at, name, entry, Kind::Type { versions })
    }

    fn pattern(&self, name: String, mut entry: RuleEntry) -> Result<Entry, CatalogError> {
        let at = format!("patterns > {name}");
        let pattern = TypePattern::parse(&name).map_err(|error| self.refuse(&at, error))?;
        let (None, Some(schema)) = (entry.versions.take(), entry.schema.take()) else {
            return Err(self.refuse(&at, "a pattern must have one schema, for all versions"));
        };
        let schema = self.schema(&at, schema)?;
        self.entry(&at, name, entry, Kind::Pattern { pattern, schema })
    }

    fn schema(&self, at: &str, source: Value) -> Result<Schema, CatalogError> {
        Schema::compile(source).map_err(|detail| self.refuse(&format!("{at} > schema"), detail))
    }

    fn entry(&self, at: &str, name: String, entry: RuleEntry, kind: Kind) -> Result<Entry, CatalogError> {
        let RuleEntry { description, channel, content, subject, clear, .. } = entry;
        let channel = channel.unwrap_or_else(|| self.default_channel.to_owned());
        check_token(self.file, &format!("{at} > channel"), &channel)?;
        if let Some(pointer) = &subject
            && !is_pointer(pointer)
        {
            let detail = "must be a JSON pointer into the data, such as /customer/id";
            return Err(self.refuse(&format!("{at} > subject"), detail));
        }
        Ok(Entry { module: self.module.to_owned(), name, description, channel, content, subject, clear, kind })
    }

    fn refuse(&self, at: &str, detail: impl Display) -> CatalogError {
        CatalogError::value(self.file, at, detail)
    }
}

/// Returns whether the text is a JSON pointer (RFC 6901) to a part of the data.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|escaped| escaped.starts_with(['0', '1']))
}

/// Checks the name of a module, channel or consumer: 1 to 48 characters of `A-Za-z0-9_-`, so that it can be a label of a metric
/// and an argument of a command.
fn check_token(file: &str, at: &str, name: &str) -> Result<(), CatalogError> {
    let fits = (1..=48).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(CatalogError::value(file, at, format!("{name:?} must be 1 to 48 characters of A-Za-z0-9_-")))
}
