//! The environment that dev makes: for its roles, each of which reads settings as a process of its own would, and for the
//! command of `--exec`.

use std::path::Path;

use sealbus_runtime::settings::{SecretUrl, Settings, table};

use super::folder::Folder;
use super::{Addresses, Args};
use crate::failure::Failure;

/// The name of every dev deployment.
const ORIGIN: &str = "sealbus.dev/local";

/// What dev subscribes unless it is given a file: audit storage, and a sink that fails now and then so that retries, parked
/// plans and dead letters can be seen.
const SUBSCRIPTIONS: &str = include_str!("subscriptions.yaml");

/// Variables and their values.
#[derive(Clone)]
pub(super) struct Environment {
    variables: Vec<(String, String)>,
    /// Those that are not printed: they hold a login that dev was given.
    lent: Vec<&'static str>,
    token: String,
}

impl Environment {
    /// What all roles share.
    pub(super) fn new(
        args: &Args,
        settings: &Settings,
        folder: &Folder,
        addresses: &Addresses,
    ) -> Result<Self, Failure> {
        let (token, tokens) = folder.token()?;
        let subscriptions = match args.subscriptions.clone().or_else(|| settings.find(table::SUBSCRIPTIONS)) {
            Some(file) => std::path::absolute(file)?,
            None => folder.write("subscriptions.yaml", SUBSCRIPTIONS)?,
        };
        let mut environment = Self { variables: Vec::new(), lent: addresses.lent.clone(), token: token.clone() };
        // What the caller set for all roles, intervals for one, goes to them too.
        environment.variables.extend(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| name.starts_with("SEALBUS_") && !is_own(name)),
        );
        let path = |path: &Path| path.display().to_string();
        for (name, value) in [
            (table::ORIGIN.name(), ORIGIN.to_owned()),
            (table::DATABASE_URL.name(), addresses.writer.clone()),
            (table::OWNER_DATABASE_URL.name(), addresses.owner.clone()),
            (table::ADMIN_DATABASE_URL.name(), addresses.admin.clone()),
            (table::NATS_URL.name(), addresses.nats.clone()),
            (table::KEYRING.name(), path(&folder.keyring()?)),
            (table::TOKENS.name(), path(&tokens)),
            (table::SUBSCRIPTIONS.name(), path(&subscriptions)),
            (table::TOKEN.name(), token),
            (table::TENANT.name(), "dev".to_owned()),
            (table::SINK_SCHEMA.name(), "public".to_owned()),
        ] {
            environment.set(name, value);
        }
        // JetStream sets a stream's largest size aside at once, and a laptop's disk may not have production's.
        if !environment.has(table::STREAM_MAX_BYTES.name()) {
            environment.set(table::STREAM_MAX_BYTES.name(), "1GiB".to_owned());
        }
        if let Some(catalog) = args.catalog.clone().or_else(|| settings.find(table::CATALOG)) {
            environment.set(table::CATALOG.name(), path(&std::path::absolute(catalog)?));
        }
        Ok(environment)
    }

    /// Sets a variable, instead of what it was or what the file was that held it.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.variables.retain(|(old, _)| variable(old) != name);
        self.variables.push((name.to_owned(), value));
    }

    /// Whether the variable is set, be it by a file.
    fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(old, _)| variable(old) == name)
    }

    /// Settings of a process in this environment, with some variables of its own.
    pub(super) fn settings(&self, own: &[(&str, String)]) -> Result<Settings, Failure> {
        let mut environment = self.clone();
        for (name, value) in own {
            environment.set(name, value.clone());
        }
        Ok(Settings::load(environment.variables)?)
    }

    /// What a command beside the bus gets.
    pub(super) fn shared(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The bearer token.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Says where everything listens, in lines that a shell can read.
    pub(super) fn print(&self) {
        println!("\nEverything listens; these variables reach it (Ctrl-C ends it):");
        for (name, value) in &self.variables {
            if self.lent.contains(&name.as_str()) {
                println!("  # {name} is {}, with the login that you gave", SecretUrl::new(value));
            } else {
                println!("  export {name}='{value}'");
            }
        }
    }
}

/// What dev makes itself or is told alone, so that a caller's own environment does not mix with it.
fn is_own(name: &str) -> bool {
    [table::LISTEN.name(), table::ADMIN_LISTEN.name(), table::URL.name(), table::URLS.name(), table::CONFIG.name()]
        .contains(&variable(name))
        || name.starts_with("SEALBUS_DEV_")
}

/// The variable of a name: `SEALBUS_X_FILE` gives `SEALBUS_X` its value, and giving both is refused.
fn variable(name: &str) -> &str {
    name.strip_suffix("_FILE").unwrap_or(name)
}
