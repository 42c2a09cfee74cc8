//! The environment variables that `sealbus dev` sets: for its roles, each of which reads its settings as a separate process
//! would, and for the command of `--exec` (docs/spec/interface.md#dev-variables).

use std::path::Path;

use sealbus_runtime::settings::{SecretUrl, Settings, table};

use super::Args;
use super::backing::BackingUrls;
use super::folder::Folder;
use crate::failure::Failure;
use crate::output::print;

const ORIGIN: &str = "sealbus.dev/local";

/// The default subscriptions: audit storage, and sinks that fail for some plans, so that there are retries, parked plans and dead
/// letters to look at.
const SUBSCRIPTIONS: &str = include_str!("subscriptions.yaml");

/// A set of variables.
#[derive(Clone)]
pub(super) struct Environment {
    /// The variables for a command.
    pub variables: Vec<(String, String)>,
    /// Variables that are not printed, because they contain a login that the user gave.
    secret_variables: Vec<&'static str>,
}

impl Environment {
    /// Returns the variables that all roles share.
    pub(super) fn new(args: &Args, settings: &Settings, folder: &Folder, urls: &BackingUrls) -> Result<Self, Failure> {
        let (token, tokens) = folder.token()?;
        let subscriptions = match args.subscriptions.clone().or_else(|| settings.find(table::SUBSCRIPTIONS)) {
            Some(file) => std::path::absolute(file)?,
            None => folder.write("subscriptions.yaml", SUBSCRIPTIONS)?,
        };
        // Other settings of the caller, such as intervals, apply to all roles.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("SEALBUS_") && !is_set_by_dev(name))
            .collect();
        let mut environment = Self { variables, secret_variables: urls.secret_variables.clone() };
        let path = |path: &Path| path.display().to_string();
        for (name, value) in [
            (table::ORIGIN.name(), ORIGIN.to_owned()),
            (table::DATABASE_URL.name(), urls.writer.clone()),
            (table::OWNER_DATABASE_URL.name(), urls.owner.clone()),
            (table::ADMIN_DATABASE_URL.name(), urls.admin.clone()),
            (table::NATS_URL.name(), urls.nats.clone()),
            (table::KEYRING.name(), path(&folder.keyring()?)),
            (table::TOKENS.name(), path(&tokens)),
            (table::SUBSCRIPTIONS.name(), path(&subscriptions)),
            (table::TOKEN.name(), token),
            (table::TENANT.name(), "dev".to_owned()),
            (table::SINK_SCHEMA.name(), "public".to_owned()),
        ] {
            environment.set(name, value);
        }
        // JetStream reserves a stream's maximum size immediately, and the default may not fit on a laptop's disk.
        let max_bytes = table::STREAM_MAX_BYTES.name();
        if !environment.variables.iter().any(|(name, _)| setting_name(name) == max_bytes) {
            environment.set(max_bytes, "1GiB".to_owned());
        }
        if let Some(catalog) = args.catalog.clone().or_else(|| settings.find(table::CATALOG)) {
            environment.set(table::CATALOG.name(), path(&std::path::absolute(catalog)?));
        }
        Ok(environment)
    }

    /// Sets a variable, and removes its former value and its `_FILE` form.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.variables.retain(|(other, _)| setting_name(other) != name);
        self.variables.push((name.to_owned(), value));
    }

    /// Returns the settings of a process in this environment, with some variables changed.
    pub(super) fn settings(&self, changes: &[(&str, &str)]) -> Result<Settings, Failure> {
        let mut environment = self.clone();
        for (name, value) in changes {
            environment.set(name, (*value).to_owned());
        }
        Ok(Settings::load(environment.variables)?)
    }

    /// Prints the variables as lines that a shell can read.
    pub(super) fn print(&self) -> Result<(), Failure> {
        print("\nThe bus is ready (Ctrl-C stops it). These variables configure commands and clients:")?;
        for (name, value) in &self.variables {
            if self.secret_variables.contains(&name.as_str()) {
                print(format_args!("  # {name} is {}, with the login that you gave", SecretUrl::new(value)))?;
            } else {
                print(format_args!("  export {name}='{value}'"))?;
            }
        }
        Ok(())
    }
}

/// Returns whether dev sets the variable itself or uses it only for itself, so that the caller's value is not passed on.
fn is_set_by_dev(name: &str) -> bool {
    [table::LISTEN.name(), table::ADMIN_LISTEN.name(), table::URL.name(), table::URLS.name(), table::CONFIG.name()]
        .contains(&setting_name(name))
        || name.starts_with("SEALBUS_DEV_")
}

/// Returns the setting that a variable sets: `SEALBUS_X_FILE` sets `SEALBUS_X`, and setting both is refused.
fn setting_name(name: &str) -> &str {
    name.strip_suffix("_FILE").unwrap_or(name)
}
