//! The sources of values: the environment, files that it names, and the TOML file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::entry::Entry;
use super::error::SettingsError;
use super::table::{EXPECTED_MIGRATION, TABLE};

/// The name that other systems use for `SEALBUS_EXPECTED_MIGRATION`. The name of Sealbus takes precedence.
const ALIAS: &str = "EXPECTED_MIGRATION";

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
        let is_relevant = |name: &str| name.starts_with("SEALBUS_") || name == ALIAS;
        Self(variables.into_iter().filter(|(name, value)| is_relevant(name) && !value.is_empty()).collect())
    }

    /// Returns the value of `entry` and its source.
    pub(super) fn value(&self, entry: &Entry) -> Result<Option<(String, Origin)>, SettingsError> {
        let (name, file_name) = (entry.name, format!("{}_FILE", entry.name));
        let alias = if name == EXPECTED_MIGRATION.name() { self.0.get(ALIAS) } else { None };
        let file = if entry.from_file { self.0.get(&file_name) } else { None };
        match (self.0.get(name), file) {
            (Some(_), Some(_)) => {
                Err(SettingsError::Refused(format!("{name} and {file_name} are both set; set only one of them")))
            }
            (None, Some(path)) => Ok(Some((read(&file_name, Path::new(path))?, Origin::ValueFile))),
            (value, None) => Ok(value.or(alias).map(|value| (value.clone(), Origin::Environment))),
        }
    }

    /// Returns the variable that names the file with the value of `entry`, and its path, if it is set.
    pub(super) fn value_file(&self, entry: &Entry) -> Option<(String, String)> {
        self.0.get_key_value(&format!("{}_FILE", entry.name)).map(|(name, path)| (name.clone(), path.clone()))
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

/// Reads the TOML file at `path`, which the variable `name` names: one flat table. Its keys are the names of the variables
/// without `SEALBUS_`, in lower case.
pub(super) fn read_config_file(name: &str, path: &Path) -> Result<BTreeMap<String, String>, SettingsError> {
    let text = read(name, path)?;
    let place = path.display();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The message of the error quotes the line, which may contain a secret.
        let offset = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        SettingsError::Refused(format!("{place}: line {line}: {}", error.message()))
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(Entry { name, kind, .. }) = TABLE.iter().find(|entry| entry.key() == key && key != "config") else {
            let meant = closest(&key).map(|entry| format!("; did you mean `{}`?", entry.key())).unwrap_or_default();
            return Err(SettingsError::Refused(format!("{place}: unknown key `{key}`{meant}")));
        };
        let text = scalar(&value)
            .ok_or_else(|| SettingsError::Refused(format!("{name}: `{key}` is not a {kind} (from {place})")))?;
        values.insert(key, text);
    }
    Ok(values)
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
