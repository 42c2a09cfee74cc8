//! The settings of a process: all `SEALBUS_…` variables, defined by one [`TABLE`].
//!
//! A value comes from the first of these sources that has one:
//! 1. the environment: `SEALBUS_X`, or the file that `SEALBUS_X_FILE` names (setting both is refused);
//! 2. the TOML file that `SEALBUS_CONFIG` names, with the key `x`;
//! 3. the default in the table.
//!
//! Spaces around a value are removed, and an empty value counts as not set. All values are checked when they are loaded, even
//! those that the process does not read, and so are pairs of values that have to fit together ([`RATIOS`]), unless only some roles
//! read both: these check them when they start ([`Settings::check_role`]). Therefore [`Settings::get`] and [`Settings::find`]
//! cannot fail. An unknown key of the file is refused. An unknown `SEALBUS_…` variable
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
mod exposure;
mod secret;
mod sources;
pub mod table;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::docs::markdown;
pub use self::entry::{Entry, Key, OptionalSetting, Rule, Secrecy, Setting};
pub use self::error::SettingsError;
pub use self::secret::SecretUrl;
pub use self::sources::Origin;
use self::sources::{Environment, read_config_file};
pub use self::table::{RATIOS, Ratio, TABLE};
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
        let mut file = BTreeMap::new();
        // The variable with the path of the file is the first in the table.
        for entry in TABLE {
            let in_file = || file.get(&entry.key()).map(|text: &String| (text.clone(), Origin::ConfigFile));
            let Some((text, origin)) = environment.value(entry)?.or_else(in_file) else { continue };
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            entry.check(text).map_err(|fault| settings.refused(entry, text, &fault, origin))?;
            if entry.name == table::CONFIG.name() {
                file = read_config_file(entry.name, Path::new(text))?;
            }
            settings.values.insert(entry.name, (text.to_owned(), origin));
        }
        RATIOS.iter().filter(|ratio| ratio.is_common()).try_for_each(|ratio| settings.check(ratio))?;
        settings.warn_of_open_files(&environment);
        Ok(settings)
    }

    /// Adds a warning for each file with secrets that every user can read: those that settings name, the files of secret
    /// values, and the TOML file if it holds one.
    fn warn_of_open_files(&mut self, environment: &Environment) {
        let path = |name| self.text(name).map(|path| (name.to_owned(), path.to_owned()));
        let mut files: Vec<_> = exposure::private_paths().into_iter().filter_map(path).collect();
        for entry in TABLE.iter().filter(|entry| entry.secrecy != Secrecy::Open) {
            match self.values.get(entry.name) {
                Some((_, Origin::ValueFile)) => files.extend(environment.value_file(entry)),
                Some((_, Origin::ConfigFile)) => files.extend(path(table::CONFIG.name())),
                _ => {}
            }
        }
        files.dedup();
        self.warnings.extend(files.iter().filter_map(|(name, path)| exposure::warning(name, Path::new(path))));
    }

    /// Checks the pairs of settings of which this role reads both.
    pub fn check_role(&self, role: &str) -> Result<(), SettingsError> {
        RATIOS.iter().filter(|ratio| ratio.applies_to(role)).try_for_each(|ratio| self.check(ratio))
    }

    /// Refuses two values that are valid but do not fit together, whether they are set or defaults.
    fn check(&self, ratio: &Ratio) -> Result<(), SettingsError> {
        let value = |name| self.text(name).expect("both settings of a ratio have a default");
        let (larger, smaller) = (value(ratio.larger), value(ratio.smaller));
        let least = entry(ratio.smaller).measured(smaller).map(|smaller| smaller * i128::from(ratio.times));
        if entry(ratio.larger).measured(larger) < least {
            let times = if ratio.times == 1 { "as much as".to_owned() } else { format!("{} times", ratio.times) };
            return Err(SettingsError::TooClose(format!(
                "{} is {larger} and {} is {smaller}: the first must be at least {times} the second, or {}",
                ratio.larger, ratio.smaller, ratio.otherwise
            )));
        }
        Ok(())
    }

    /// Returns the value of a variable that has a default.
    pub fn get<T: Value>(&self, setting: Setting<T>) -> T {
        self.parsed(setting.name()).expect("loading checks values, and a test checks defaults")
    }

    /// Returns the value of a variable that has no default, or `None` if it is not set.
    pub fn find<T: Value>(&self, setting: OptionalSetting<T>) -> Option<T> {
        self.parsed(setting.name())
    }

    /// Returns the value of a variable that has no default, or an error that names the variable if it is not set.
    pub fn require<T: Value>(&self, setting: OptionalSetting<T>) -> Result<T, SettingsError> {
        let name = setting.name();
        let missing = || SettingsError::Refused(format!("{name} is not set: {}", entry(name).about));
        self.parsed(name).ok_or_else(missing)
    }

    fn parsed<T: Value>(&self, name: &'static str) -> Option<T> {
        T::parse(self.text(name)?).ok()
    }

    /// Returns warnings for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns all variables with their values and sources, in the order of the table. Secrets are masked.
    pub fn rows(&self) -> Vec<Row> {
        let row = |entry: &Entry| {
            let given = self.values.get(entry.name).map(|(_, origin)| *origin);
            let origin = given.unwrap_or(if entry.default.is_some() { Origin::Default } else { Origin::Unset });
            let value = self.text(entry.name).map(|text| match entry.secrecy {
                Secrecy::Open => text.to_owned(),
                Secrecy::Url => secret::masked_urls(text),
                Secrecy::Hidden => secret::MASK.to_owned(),
            });
            Row { name: entry.name, value, origin }
        };
        TABLE.iter().map(row).collect()
    }

    fn refused(&self, entry: &Entry, text: &str, fault: &str, origin: Origin) -> SettingsError {
        let name = entry.name;
        // An invalid URL is masked as a whole, since a secret could be anywhere in it.
        let value = if entry.secrecy == Secrecy::Open { &format!("\"{text}\"") } else { "its value (a secret)" };
        let place = match origin {
            Origin::ConfigFile => self.text(table::CONFIG.name()).unwrap_or_default(),
            Origin::ValueFile => &format!("the file of {name}_FILE"),
            _ => "the environment",
        };
        SettingsError::Refused(format!("{name}: {value} {fault} (from {place})"))
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
