//! The settings of a process: all `SEALBUS_…` variables, defined by one [`TABLE`].
//!
//! A value comes from the first of these sources that has one:
//! 1. the environment: `SEALBUS_X`, or the file that `SEALBUS_X_FILE` names (setting both is refused);
//! 2. the TOML file that `SEALBUS_CONFIG` names, with the key `x`;
//! 3. the default in the table.
//!
//! Spaces around a value are removed, and an empty value counts as not set. All values are checked when they are loaded, even
//! those that the process does not read, and so are pairs of values that have to fit together ([`RATIOS`]). Therefore
//! [`Settings::get`] and [`Settings::find`] cannot fail. An unknown key of the file is refused. An unknown `SEALBUS_…` variable
//! only causes a warning, because Kubernetes sets `SEALBUS_PORT` and similar variables for a service called sealbus.
//!
//! ```
//! use sealbus_runtime::settings::{Settings, table};
//! # fn example() -> Result<(), sealbus_runtime::settings::SettingsError> {
//! let settings = Settings::from_environment()?;
//! let lease: std::time::Duration = settings.get(table::LEASE);
//! let tenant: Option<String> = settings.find(table::TENANT);
//! # Ok(()) }
//! ```
//!
//! Secrets are not shown in errors, in [`Settings::rows`], or by `Debug`.

mod docs;
mod entry;
mod error;
mod ratio;
mod secret;
mod sources;
pub mod table;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::docs::markdown;
pub use self::entry::{Entry, OptionalSetting, Reader, Rule, Secrecy, Setting};
pub use self::error::SettingsError;
pub use self::ratio::{RATIOS, Ratio};
pub use self::secret::SecretUrl;
pub use self::sources::Origin;
use self::sources::{ConfigFile, Environment};
pub use self::table::TABLE;
pub use self::value::{HostPort, LogFormat, Size, Value};

/// The checked settings of a process.
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    warnings: Vec<String>,
}

/// A line of `sealbus config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the variable.
    pub name: &'static str,
    /// Value, masked as far as it is secret; `None` if the variable has no value.
    pub value: Option<String>,
    /// Source of the value.
    pub origin: Origin,
}

impl Settings {
    /// Loads the settings of this process.
    pub fn from_environment() -> Result<Self, SettingsError> {
        // A variable that is not UTF-8 cannot be valid. With replacement characters it is refused, or not found.
        Self::load(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// Loads the settings from an environment and from the files that it names.
    pub fn load(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let environment = Environment::new(environment);
        let mut settings = Self { values: BTreeMap::new(), warnings: Vec::from_iter(environment.unknown()) };
        let mut file = None;
        // The variable with the path of the file is the first in the table.
        for entry in TABLE {
            let given =
                environment.value(entry)?.or_else(|| file.as_ref().and_then(|file: &ConfigFile| file.value(entry)));
            let Some((text, origin)) = given else { continue };
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if let Some(fault) = entry.fault(text) {
                return Err(refused(entry, text, fault, origin, file.as_ref().map(ConfigFile::path)));
            }
            if entry.name == table::CONFIG.name() {
                file = Some(ConfigFile::read(entry.name, Path::new(text))?);
            }
            settings.values.insert(entry.name, (text.to_owned(), origin));
        }
        RATIOS.iter().try_for_each(|ratio| settings.check(ratio))?;
        Ok(settings)
    }

    /// Refuses two values that are valid but do not fit together, whether they are set or defaults.
    fn check(&self, ratio: &'static Ratio) -> Result<(), SettingsError> {
        let measured = |name| self.text(name).and_then(|text| entry(name).measured(text));
        match (measured(ratio.larger), measured(ratio.smaller)) {
            (Some(larger), Some(smaller)) if larger < smaller * i128::from(ratio.times) => {
                let value = |name| self.text(name).expect("a measured value is a text").to_owned();
                let (larger, smaller) = (value(ratio.larger), value(ratio.smaller));
                Err(SettingsError::TooClose { ratio, larger, smaller })
            }
            _ => Ok(()),
        }
    }

    /// Returns the value of a variable that has a default.
    pub fn get<T: Value>(&self, setting: Setting<T>) -> T {
        self.text(setting.name())
            .and_then(|text| T::parse(text).ok())
            .expect("loading checks values, and a test checks defaults")
    }

    /// Returns the value of a variable that has no default, or `None` if it is not set.
    pub fn find<T: Value>(&self, setting: OptionalSetting<T>) -> Option<T> {
        self.text(setting.name()).and_then(|text| T::parse(text).ok())
    }

    /// Returns the value of a variable that has no default, or [`SettingsError::Missing`] if it is not set.
    pub fn require<T: Value>(&self, setting: OptionalSetting<T>) -> Result<T, SettingsError> {
        let name = setting.name();
        self.find(setting).ok_or_else(|| SettingsError::Missing { name, about: entry(name).about })
    }

    /// Returns warnings for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns all variables with their values and sources, in the order of the table. Secrets are masked.
    pub fn rows(&self) -> Vec<Row> {
        TABLE.iter().map(|entry| self.row(entry)).collect()
    }

    fn row(&self, entry: &Entry) -> Row {
        let given = self.values.get(entry.name).map(|(_, origin)| *origin);
        let origin = given.unwrap_or(if entry.default.is_some() { Origin::Default } else { Origin::Unset });
        let value = self.text(entry.name).map(|text| shown(entry, text));
        Row { name: entry.name, value, origin }
    }

    fn text(&self, name: &'static str) -> Option<&str> {
        self.values.get(name).map(|(text, _)| text.as_str()).or(entry(name).default)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

fn entry(name: &'static str) -> &'static Entry {
    TABLE.iter().find(|entry| entry.name == name).expect("one macro makes the keys and the table")
}

fn shown(entry: &Entry, text: &str) -> String {
    match entry.secrecy {
        Secrecy::Open => text.to_owned(),
        Secrecy::Url => secret::masked_urls(text),
        Secrecy::Hidden => secret::MASK.to_owned(),
    }
}

fn refused(entry: &Entry, text: &str, fault: String, origin: Origin, file: Option<&Path>) -> SettingsError {
    // An invalid URL is masked as a whole, since a secret could be anywhere in it.
    let value = if entry.secrecy == Secrecy::Open { format!("\"{text}\"") } else { "its value (a secret)".to_owned() };
    let place = match (origin, file) {
        (Origin::ConfigFile, Some(path)) => path.display().to_string(),
        (Origin::ValueFile, _) => format!("the file of {}_FILE", entry.name),
        _ => "the environment".to_owned(),
    };
    SettingsError::Bad { name: entry.name, value, fault, place }
}
