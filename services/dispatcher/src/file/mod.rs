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

/// The name of the default subscription. If it lists no types, it receives every event that no other subscription in the
/// files receives.
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
    /// A file does not have the documented form.
    #[error("{file}: {reason}")]
    Form {
        /// The name of the file.
        file: String,
        /// The error, with line and column.
        reason: String,
    },
    /// A field of a subscription is invalid.
    #[error("{file}: subscription {subscription}: {field}: {reason}")]
    Field {
        /// The name of the file.
        file: String,
        /// The subscription.
        subscription: String,
        /// The field.
        field: &'static str,
        /// The rule that the field breaks.
        reason: String,
    },
    /// Two subscriptions have the same name.
    #[error("subscription {0} is declared twice")]
    DuplicateName(String),
    /// Two subscriptions write to the same table or file.
    #[error("subscriptions {first} and {second} both write {target}")]
    SameTarget {
        /// The name of the first subscription.
        first: String,
        /// The name of the second subscription.
        second: String,
        /// The table or file that both write to.
        target: String,
    },
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
        let written: Written = serde_saphyr::from_str(text)
            .map_err(|error| FileError::Form { file: file.clone(), reason: error.to_string() })?;
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

fn refuse_clashes(declared: &[Declared]) -> Result<(), FileError> {
    for (index, first) in declared.iter().enumerate() {
        for second in &declared[index + 1..] {
            if first.spec.name == second.spec.name {
                return Err(FileError::DuplicateName(first.spec.name.to_string()));
            }
            if let Some(target) = first.sink.common_target(&second.sink) {
                let (first, second) = (first.spec.name.to_string(), second.spec.name.to_string());
                return Err(FileError::SameTarget { first, second, target });
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
    #[serde(default)]
    parallelism: WrittenParallelism,
    sink: SinkSpec,
    retry: Option<RetryPolicy>,
}

#[derive(Deserialize, Default)]
#[serde(untagged, expecting = "parallelism is `partitions` or 1")]
enum WrittenParallelism {
    #[default]
    Absent,
    Number(u32),
    Word(String),
}

impl Entry {
    fn read(self, file: &str, name: &str) -> Result<Declared, FileError> {
        let refused = |field, reason: String| FileError::Field {
            file: file.to_owned(),
            subscription: name.to_owned(),
            field,
            reason,
        };
        let mut spec =
            SubscriptionSpec::new(Subscription::parse(name).map_err(|error| refused("name", error.to_string()))?);
        if let Some(types) = self.types {
            let types = types.iter().map(|pattern| TypePattern::parse(pattern));
            spec.wants.types = types.collect::<Result<_, _>>().map_err(|error| refused("types", error.to_string()))?;
        }
        if spec.wants.types.is_empty() {
            return Err(refused("types", "list at least one type pattern; [\"*\"] means all types".into()));
        }
        spec.wants.tenants = match self.tenants {
            None => Tenants::All,
            Some(tenants) if tenants == ["*"] => Tenants::All,
            Some(tenants) if tenants.is_empty() => {
                return Err(refused("tenants", "list at least one tenant; [\"*\"] means all except _system".into()));
            }
            Some(tenants) if tenants.iter().any(|tenant| tenant == "*") => {
                let reason = "\"*\" cannot be combined with other tenants; it means all except _system";
                return Err(refused("tenants", reason.into()));
            }
            Some(tenants) => {
                let tenants = tenants.iter().map(|tenant| Tenant::parse_any(tenant)).collect::<Result<_, _>>();
                Tenants::Some(tenants.map_err(|error| refused("tenants", error.to_string()))?)
            }
        };
        spec.parallelism = match self.parallelism {
            WrittenParallelism::Absent => Parallelism::Partitions,
            WrittenParallelism::Word(word) if word == "partitions" => Parallelism::Partitions,
            WrittenParallelism::Number(1) => Parallelism::One,
            WrittenParallelism::Number(_) | WrittenParallelism::Word(_) => {
                let reason = "must be `partitions` (one consumer per partition) or 1 (a single consumer)";
                return Err(refused("parallelism", reason.into()));
            }
        };
        (spec.start, spec.retry) = (self.from, self.retry);
        self.sink.check().map_err(|reason| refused("sink", reason))?;
        Ok(Declared { spec, sink: self.sink })
    }
}

#[cfg(test)]
mod tests;
