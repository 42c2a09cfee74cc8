//! The sources of values: the environment, files that it names, and the TOML file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::error::SettingsError;
use super::table::TABLE;

/// Further names of variables, which other systems use. The name of Sealbus takes precedence.
const ALIASES: &[(&str, &str)] = &[("SEALBUS_EXPECTED_MIGRATION", "EXPECTED_MIGRATION")];

/// The source of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `SEALBUS_X` in the environment, or its alias.
    Environment,
    /// The file that `SEALBUS_X_FILE` names.
    ValueFile,
    /// The TOML file that `SEALBUS_CONFIG` names.
    ConfigFile,
    /// The default in the table.
    Default,
    /// The variable has no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::ValueFile => "value file",
            Self::ConfigFile => "config file",
            Self::Default => "default",
            Self::Unset => "unset",
        })
    }
}

/// The variables of Sealbus in an environment. An empty variable counts as not set, because `${X:-}` in a shell makes one.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_relevant = |name: &str| name.starts_with("SEALBUS_") || ALIASES.iter().any(|(_, alias)| *alias == name);
        Self(variables.into_iter().filter(|(name, value)| is_relevant(name) && !value.is_empty()).collect())
    }

    /// Returns the value of `entry` and its source.
    pub(super) fn value(&self, entry: &Entry) -> Result<Option<(String, Origin)>, SettingsError> {
        let alias = ALIASES.iter().find(|(name, _)| *name == entry.name).and_then(|(_, alias)| self.0.get(*alias));
        let direct = self.0.get(entry.name);
        let file = if entry.from_file { self.0.get(&format!("{}_FILE", entry.name)) } else { None };
        match (direct, file) {
            (Some(_), Some(_)) => Err(SettingsError::Twice { name: entry.name }),
            (None, Some(path)) => {
                let text = read(&format!("{}_FILE", entry.name), Path::new(path))?;
                Ok(Some((text, Origin::ValueFile)))
            }
            (Some(value), None) => Ok(Some((value.clone(), Origin::Environment))),
            (None, None) => Ok(alias.map(|value| (value.clone(), Origin::Environment))),
        }
    }

    /// Returns a sentence with all unknown `SEALBUS_…` variables, if there are any.
    pub(super) fn unknown(&self) -> Option<String> {
        let file_of = |entry: &Entry, name: &str| entry.from_file && name.strip_suffix("_FILE") == Some(entry.name);
        let known = |name: &str| TABLE.iter().any(|entry| entry.name == name || file_of(entry, name));
        let unknown: Vec<String> = self
            .0
            .keys()
            .filter(|name| name.starts_with("SEALBUS_") && !known(name))
            .map(|name| match closest(&name.trim_start_matches("SEALBUS_").to_ascii_lowercase()) {
                Some(meant) => format!("{name} (did you mean {}?)", meant.name),
                None => name.clone(),
            })
            .collect();
        (!unknown.is_empty()).then(|| format!("unknown environment variables are ignored: {}", unknown.join(", ")))
    }
}

/// The TOML file: one flat table. Its keys are the names of the variables without `SEALBUS_`, in lower case.
pub(super) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

impl ConfigFile {
    pub(super) fn read(name: &str, path: &Path) -> Result<Self, SettingsError> {
        let text = read(name, path)?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // The message of the error quotes the line, which may contain a secret.
            let offset = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
            SettingsError::NotToml { path: path.to_owned(), line, fault: error.message().to_owned() }
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let Some(entry) = TABLE.iter().find(|entry| entry.key() == key && entry.key() != "config") else {
                let suggestion = closest(&key).map(Entry::key);
                return Err(SettingsError::UnknownKey { path: path.to_owned(), key, suggestion });
            };
            let text = scalar(&value).ok_or_else(|| SettingsError::Bad {
                name: entry.name,
                value: format!("`{key}`"),
                fault: format!("is not a {}", entry.kind),
                place: path.display().to_string(),
            })?;
            values.insert(key, text);
        }
        Ok(Self { path: path.to_owned(), values })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn value(&self, entry: &Entry) -> Option<(String, Origin)> {
        self.values.get(&entry.key()).map(|value| (value.clone(), Origin::ConfigFile))
    }
}

/// Returns a value of the TOML file as it would be written in the environment. An array of strings is a list.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(members) => {
            members.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn read(name: &str, path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// Returns the entry whose key is similar to `key`, or equal to it without `_file`.
fn closest(key: &str) -> Option<&'static Entry> {
    let key = key.strip_suffix("_file").unwrap_or(key);
    let distance = |entry: &&Entry| strsim::damerau_levenshtein(key, &entry.key());
    TABLE.iter().min_by_key(distance).filter(|entry| distance(entry) * 3 <= entry.key().len())
}
