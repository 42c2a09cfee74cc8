//! What a process is told: every `SEALBUS_…` variable, by one [`TABLE`].
//!
//! A value is taken from the first of these that has one:
//! 1. the environment, `SEALBUS_X`, or the file that `SEALBUS_X_FILE` names (both at once are refused);
//! 2. the TOML file that `SEALBUS_CONFIG` names, where the key is `x`;
//! 3. the table's default.
//!
//! Values are trimmed, and an empty one is as good as none. All that is given is checked when it is loaded, whoever reads
//! it, and so are values that have to fit each other ([`RATIOS`]), so that [`Settings::get`] and [`Settings::find`]
//! cannot fail. A key of the file that is no setting stops the
//! start; a `SEALBUS_…` variable that is none is only warned of, since Kubernetes sets `SEALBUS_PORT` and the like for a
//! service called sealbus.
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
//! What is a secret is shown nowhere: not in errors, not in [`Settings::rows`], not by `Debug`.

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

/// The values of one process, all of them checked.
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    warnings: Vec<String>,
}

/// One line of `sealbus config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The variable.
    pub name: &'static str,
    /// Its value, masked as far as it is secret; none where nobody gave one.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

impl Settings {
    /// Reads the settings of this process.
    pub fn from_environment() -> Result<Self, SettingsError> {
        // What is not UTF-8 is no variable of ours that could be right; it is refused, or not found, as it stands.
        Self::load(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// Reads the settings out of an environment. Reads the files that it names; touches nothing else.
    pub fn load(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let environment = Environment::new(environment);
        let mut settings = Self { values: BTreeMap::new(), warnings: Vec::from_iter(environment.unknown()) };
        let mut file = None;
        // The table begins with the file's own variable.
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

    /// Refuses two values that are right alone and wrong together; a default counts as much as what was given.
    fn check(&self, ratio: &'static Ratio) -> Result<(), SettingsError> {
        let measured = |name| self.text(name).and_then(|text| entry(name).measured(text));
        match (measured(ratio.larger), measured(ratio.smaller)) {
            (Some(larger), Some(smaller)) if larger < smaller * i128::from(ratio.times) => {
                let value = |name| self.text(name).unwrap_or_default().to_owned();
                let (larger, smaller) = (value(ratio.larger), value(ratio.smaller));
                Err(SettingsError::TooClose { ratio, larger, smaller })
            }
            _ => Ok(()),
        }
    }

    /// The value of a variable that has a default.
    pub fn get<T: Value>(&self, setting: Setting<T>) -> T {
        self.text(setting.name())
            .and_then(|text| T::parse(text).ok())
            .expect("defaults and given values have been checked")
    }

    /// The value of a variable that has no default, if somebody gave one.
    pub fn find<T: Value>(&self, setting: OptionalSetting<T>) -> Option<T> {
        self.text(setting.name()).and_then(|text| T::parse(text).ok())
    }

    /// The value of a variable that the caller cannot do without; [`SettingsError::Missing`] where nobody gave one.
    pub fn require<T: Value>(&self, setting: OptionalSetting<T>) -> Result<T, SettingsError> {
        let name = setting.name();
        self.find(setting).ok_or_else(|| SettingsError::Missing { name, about: entry(name).about })
    }

    /// What was found odd and let pass, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every variable with its value and origin, secrets masked, in the table's order.
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
    TABLE.iter().find(|entry| entry.name == name).expect("keys and table are made by one macro")
}

fn shown(entry: &Entry, text: &str) -> String {
    match entry.secrecy {
        Secrecy::Open => text.to_owned(),
        Secrecy::Url => secret::masked_urls(text),
        Secrecy::Hidden => secret::MASK.to_owned(),
    }
}

fn refused(entry: &Entry, text: &str, fault: String, origin: Origin, file: Option<&Path>) -> SettingsError {
    // A URL that is none is not masked in parts: anything could stand in it.
    let value = if entry.secrecy == Secrecy::Open { format!("\"{text}\"") } else { "its value (a secret)".to_owned() };
    let place = match (origin, file) {
        (Origin::ConfigFile, Some(path)) => path.display().to_string(),
        (Origin::ValueFile, _) => format!("the file of {}_FILE", entry.name),
        _ => "the environment".to_owned(),
    };
    SettingsError::Bad { name: entry.name, value, fault, place }
}
