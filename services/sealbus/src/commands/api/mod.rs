//! Commands that call a publisher's API, at `SEALBUS_URLS` or `SEALBUS_URL` with the token `SEALBUS_TOKEN`.

pub(crate) mod catalog;
pub(crate) mod import;
pub(crate) mod publish;
pub(crate) mod tail;
pub(crate) mod trail;

use sealbus_client::{Client, ClientConfig};
use sealbus_runtime::settings::{Settings, table};
use secrecy::ExposeSecret;

use crate::failure::Failure;

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ApiTenantArgs {
    /// Tenant [env: SEALBUS_TENANT] [default: the token's default tenant]
    #[arg(long)]
    tenant: Option<String>,
}

impl ApiTenantArgs {
    /// Returns the value of `--tenant`, or else of `SEALBUS_TENANT`. The API checks that it is a valid name.
    fn find(&self, settings: &Settings) -> Option<String> {
        self.tenant.clone().or_else(|| settings.find(table::TENANT))
    }
}

fn client(args: &ApiTenantArgs) -> Result<Client, Failure> {
    let settings = Settings::from_environment()?;
    let tenant = args.find(&settings);
    client_for(&settings, tenant)
}

/// Returns a client that calls the publishers in the settings for `tenant`. If `tenant` is `None`, a call is for the tenant
/// that its event names, or else for the token's default tenant.
fn client_for(settings: &Settings, tenant: Option<String>) -> Result<Client, Failure> {
    let urls = settings.find(table::URLS).unwrap_or_else(|| vec![settings.get(table::URL)]);
    let token = settings.require(table::TOKEN)?;
    let mut config = ClientConfig::new(urls, token.expose_secret());
    config.tenant = tenant;
    Ok(Client::new(config)?)
}
