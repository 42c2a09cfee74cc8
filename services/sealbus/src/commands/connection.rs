//! The client that commands use, out of the environment.

use sealbus_client::{Client, ClientConfig};
use sealbus_runtime::settings::{Settings, table};
use secrecy::ExposeSecret;

use crate::failure::Failure;

/// Whom a command speaks to, beside what the environment says.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConnectionArgs {
    /// The tenant; otherwise SEALBUS_TENANT, or the token's default
    #[arg(long)]
    tenant: Option<String>,
}

/// A client for the publishers at `SEALBUS_URLS` or `SEALBUS_URL`.
pub fn client(args: &ConnectionArgs) -> Result<Client, Failure> {
    let settings = Settings::from_environment()?;
    let urls = settings.find(table::URLS).unwrap_or_else(|| vec![settings.get(table::URL)]);
    let token = settings.require(table::TOKEN)?;
    let mut config = ClientConfig::new(urls, token.expose_secret());
    config.tenant = args.tenant.clone().or_else(|| settings.find(table::TENANT));
    Ok(Client::new(config)?)
}
