//! The subscriptions file: what is subscribed to, from where, and what it feeds. Strict: what it does not know it refuses,
//! and says where.

use std::collections::BTreeMap;
use std::path::Path;

use sealbus_consumer::{Parallelism, SubscriptionSpec, Tenants};
use sealbus_core::names::{Subscription, Tenant, TypePattern};
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_runtime::files::{ReadError, read_yaml};
use serde::Deserialize;

use crate::sinks::SinkSpec;

/// The subscription that takes what no other one of the files takes, where it names no types itself.
const DEFAULT: &str = "default";

/// A subscription as declared, with its sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it wants, and how it is worked.
    pub spec: SubscriptionSpec,
    /// What it feeds.
    pub sink: SinkSpec,
}

/// Why subscriptions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is not of the form that is documented.
    #[error("{file}: {reason}")]
    Form {
        /// Its name.
        file: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A field of a subscription breaks its rule.
    #[error("{file}: subscription {subscription}: {field}: {reason}")]
    Field {
        /// The file's name.
        file: String,
        /// The subscription.
        subscription: String,
        /// Which of its fields.
        field: &'static str,
        /// The rule.
        reason: String,
    },
    /// Two subscriptions of one name, or with one table or file to write.
    #[error("subscriptions {first} and {second} {clash}")]
    Clash {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// What they have in common and must not.
        clash: String,
    },
}

/// The declared subscriptions of a file, or of all `*.yaml` and `*.yml` of a folder, in order of their names.
pub fn load(path: &Path) -> Result<Vec<Declared>, FileError> {
    read(&read_yaml(path)?)
}

/// The declared subscriptions of some files: name and text each.
pub fn read(files: &[(String, String)]) -> Result<Vec<Declared>, FileError> {
    let mut declared: Vec<Declared> = Vec::new();
    let mut unnamed_default = false;
    for (file, text) in files {
        let written: Written = serde_saphyr::from_str(text)
            .map_err(|error| FileError::Form { file: file.clone(), reason: error.to_string() })?;
        for (name, entry) in written.subscriptions {
            unnamed_default |= name == DEFAULT && entry.types.is_none();
            declared.push(entry.read(file, &name)?);
        }
    }
    declared.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    refuse_clashes(&declared)?;
    if unnamed_default {
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
            let clash = if first.spec.name == second.spec.name {
                Some("have one name".to_owned())
            } else {
                first.sink.clash(&second.sink).map(|target| format!("both write {target}"))
            };
            if let Some(clash) = clash {
                let (first, second) = (first.spec.name.to_string(), second.spec.name.to_string());
                return Err(FileError::Clash { first, second, clash });
            }
        }
    }
    Ok(())
}

/// A file as it is spelled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    subscriptions: BTreeMap<String, Entry>,
}

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
    Unsaid,
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
            return Err(refused("types", "at least one; [\"*\"] takes all".into()));
        }
        spec.wants.tenants = match self.tenants {
            None => Tenants::All,
            Some(tenants) if tenants == ["*"] => Tenants::All,
            Some(tenants) if tenants.is_empty() => {
                return Err(refused("tenants", "at least one; [\"*\"] takes all but _system".into()));
            }
            Some(tenants) if tenants.iter().any(|tenant| tenant == "*") => {
                return Err(refused("tenants", "\"*\" stands alone: it takes all but _system".into()));
            }
            Some(tenants) => {
                let tenants = tenants.iter().map(|tenant| Tenant::parse_any(tenant)).collect::<Result<_, _>>();
                Tenants::Some(tenants.map_err(|error| refused("tenants", error.to_string()))?)
            }
        };
        spec.parallelism = match self.parallelism {
            WrittenParallelism::Unsaid => Parallelism::Partitions,
            WrittenParallelism::Word(word) if word == "partitions" => Parallelism::Partitions,
            WrittenParallelism::Number(1) => Parallelism::One,
            WrittenParallelism::Number(_) | WrittenParallelism::Word(_) => {
                return Err(refused(
                    "parallelism",
                    "`partitions`, one consumer a partition, or 1, a single one".into(),
                ));
            }
        };
        (spec.start, spec.retry) = (self.from, self.retry);
        self.sink.check().map_err(|reason| refused("sink", reason))?;
        Ok(Declared { spec, sink: self.sink })
    }
}

#[cfg(test)]
mod tests;
