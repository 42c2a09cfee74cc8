//! The subscriptions file: what each subscription wants, where it starts, and which sink it feeds.
//!
//! Unknown keys and values are refused, with the place of the error (docs/spec/interface.md#subscriptions).

use std::collections::BTreeMap;
use std::path::Path;

use sealbus_consumer::{Parallelism, SubscriptionSpec, Tenants};
use sealbus_core::names::{Subscription, Tenant, TypePattern};
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_runtime::files::{ReadError, read_yaml};
use serde::Deserialize;

use crate::sinks::SinkSpec;

/// The name of the default subscription. If it lists no types, it receives every event that no other subscription in
/// the files receives.
const DEFAULT: &str = "default";

/// A declared subscription and its sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The subscription.
    pub spec: SubscriptionSpec,
    /// The sink that it feeds.
    pub sink: SinkSpec,
}

/// The error of loading subscriptions.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file does not have the documented form, a subscription is invalid, or two subscriptions clash.
    #[error("{0}")]
    Invalid(String),
}

/// Loads the subscriptions of a file, or of all `*.yaml` and `*.yml` files of a folder, and returns them ordered by
/// name.
pub fn load(path: &Path) -> Result<Vec<Declared>, FileError> {
    read(&read_yaml(path)?)
}

/// Parses the subscriptions in `files`, which are pairs of a file name and a text, and returns them ordered by name.
pub fn read(files: &[(String, String)]) -> Result<Vec<Declared>, FileError> {
    let mut declared: Vec<Declared> = Vec::new();
    let mut default_takes_rest = false;
    for (file, text) in files {
        let written: Written = serde_saphyr::from_str(text).map_err(|error| malformed(file, text, &error))?;
        for (name, entry) in written.subscriptions {
            default_takes_rest |= name == DEFAULT && entry.types.is_none();
            declared.push(entry.read(file, &name)?);
        }
    }
    declared.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    refuse_clashes(&declared)?;
    if default_takes_rest {
        let others = declared
            .iter()
            .filter(|other| other.spec.name.as_str() != DEFAULT)
            .map(|other| other.spec.wants.clone())
            .collect();
        if let Some(default) = declared.iter_mut().find(|one| one.spec.name.as_str() == DEFAULT) {
            default.spec.except = others;
        }
    }
    Ok(declared)
}

/// Returns the error of a text that has not the documented form, with line and column, counted from 1, or 0 if they are not
/// known. It quotes the text only where that cannot be a part of a sink's URL, which may hold a password.
fn malformed(file: &str, text: &str, error: &serde_saphyr::Error) -> FileError {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
    // The message repeats the place at its end.
    let message = error.to_string();
    let detail = message.rsplit_once(" at line ").map_or(message.as_str(), |(detail, _)| detail);
    let index = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
    let place = index.and_then(|index| text.lines().nth(index)).unwrap_or(text);
    let is_secret = [detail, place].iter().any(|text| text.contains("://") || text.contains('@'));
    let detail = if is_secret { "not valid; the text is not shown, because it may hold a password" } else { detail };
    FileError::Invalid(format!("{file}:{line}:{column}: {detail}"))
}

fn refuse_clashes(declared: &[Declared]) -> Result<(), FileError> {
    for (index, first) in declared.iter().enumerate() {
        for second in &declared[index + 1..] {
            let (name, other) = (&first.spec.name, &second.spec.name);
            if name == other {
                return Err(FileError::Invalid(format!("subscription {name} is declared twice")));
            }
            if let Some(target) = first.sink.common_target(&second.sink) {
                return Err(FileError::Invalid(format!("subscriptions {name} and {other} both write {target}")));
            }
        }
    }
    Ok(())
}

/// The content of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    subscriptions: BTreeMap<String, Entry>,
}

/// A subscription as it is written in a file, before its fields are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    types: Option<Vec<String>>,
    tenants: Option<Vec<String>>,
    #[serde(default)]
    from: Start,
    parallelism: Option<WrittenParallelism>,
    sink: SinkSpec,
    retry: Option<RetryPolicy>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "parallelism is `partitions` or 1")]
enum WrittenParallelism {
    Number(u32),
    Word(String),
}

impl Entry {
    fn read(self, file: &str, name: &str) -> Result<Declared, FileError> {
        self.parse(name).map_err(|rule| FileError::Invalid(format!("{file}: subscription {name}: {rule}")))
    }

    /// Checks all fields. The error names the field and the rule that it breaks.
    fn parse(self, name: &str) -> Result<Declared, String> {
        let mut spec = SubscriptionSpec::new(Subscription::parse(name).map_err(|error| format!("name: {error}"))?);
        if let Some(types) = self.types {
            let types = types.iter().map(|pattern| TypePattern::parse(pattern)).collect::<Result<_, _>>();
            spec.wants.types = types.map_err(|error| format!("types: {error}"))?;
        }
        if spec.wants.types.is_empty() {
            return Err("types: list at least one type pattern; [\"*\"] means all types".to_owned());
        }
        spec.wants.tenants = match self.tenants {
            None => Tenants::All,
            Some(tenants) if tenants == ["*"] => Tenants::All,
            Some(tenants) if tenants.is_empty() => {
                return Err("tenants: list at least one tenant; [\"*\"] means all except _system".to_owned());
            }
            Some(tenants) if tenants.iter().any(|tenant| tenant == "*") => {
                let rule = "tenants: \"*\" cannot be combined with other tenants; it means all except _system";
                return Err(rule.to_owned());
            }
            Some(tenants) => {
                let tenants = tenants.iter().map(|tenant| Tenant::parse_any(tenant)).collect::<Result<_, _>>();
                Tenants::Some(tenants.map_err(|error| format!("tenants: {error}"))?)
            }
        };
        spec.parallelism = match self.parallelism {
            None => Parallelism::Partitions,
            Some(WrittenParallelism::Word(word)) if word == "partitions" => Parallelism::Partitions,
            Some(WrittenParallelism::Number(1)) => Parallelism::One,
            Some(_) => {
                let rule = "parallelism: must be `partitions` (one consumer per partition) or 1 (a single consumer)";
                return Err(rule.to_owned());
            }
        };
        (spec.start, spec.retry) = (self.from, self.retry);
        self.sink.check().map_err(|rule| format!("sink: {rule}"))?;
        Ok(Declared { spec, sink: self.sink })
    }
}

#[cfg(test)]
mod tests;
