//! The client that commands use, out of the environment.

use sealbus_client::{Client, ClientConfig};
use sealbus_runtime::settings::{Settings, table};
use secrecy::ExposeSecret;

use crate::failure::Failure;

/// Whom a command speaks to, beside what the environment says.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ConnectionArgs {
    /// The tenant; otherwise SEALBUS_TENANT, or the token's default
    #[arg(long)]
    tenant: Option<String>,
}

impl ConnectionArgs {
    /// The tenant that the caller or the environment names.
    pub(crate) fn tenant(&self, settings: &Settings) -> Option<String> {
        self.tenant.clone().or_else(|| settings.find(table::TENANT))
    }
}

/// A client for the publishers at `SEALBUS_URLS` or `SEALBUS_URL`, acting for the tenant named.
pub(crate) fn client(args: &ConnectionArgs) -> Result<Client, Failure> {
    let settings = Settings::from_environment()?;
    let tenant = args.tenant(&settings);
    client_of(&settings, tenant)
}

/// A client that acts for `tenant`, or for whom its events name.
pub(crate) fn client_of(settings: &Settings, tenant: Option<String>) -> Result<Client, Failure> {
    let urls = settings.find(table::URLS).unwrap_or_else(|| vec![settings.get(table::URL)]);
    let token = settings.require(table::TOKEN)?;
    let mut config = ClientConfig::new(urls, token.expose_secret());
    config.tenant = tenant;
    Ok(Client::new(config)?)
}
