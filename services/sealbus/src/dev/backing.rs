//! Postgres and NATS for `sealbus dev`: children of its own, unless it is given servers that somebody else runs.

use std::convert::Infallible;

use sealbus_backing::{BackingError, Nats, NatsOptions, Postgres, PostgresOptions};
use sealbus_ledger::schema::bootstrap::{OWNER, WRITER, allow_tables_in_public, create_database, make_roles};
use sealbus_runtime::settings::{SecretUrl, Settings, table};

use super::folder::Folder;
use crate::failure::Failure;

/// The ledger's database.
const DATABASE: &str = "sealbus";

/// What was asked for by name.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct BackingArgs {
    /// Port of Postgres, instead of a free one
    #[arg(long, conflicts_with = "postgres_url")]
    postgres_port: Option<u16>,
    /// Port of NATS, instead of a free one
    #[arg(long, conflicts_with = "nats_url")]
    nats_port: Option<u16>,
    /// A Postgres that runs already, as its superuser, instead of one of its own; `SEALBUS_DEV_POSTGRES_URL` says it
    /// without showing the password in the list of processes
    #[arg(long, value_parser = secret)]
    postgres_url: Option<SecretUrl>,
    /// A NATS that runs already, instead of one of its own; otherwise `SEALBUS_DEV_NATS_URL`
    #[arg(long, value_parser = secret)]
    nats_url: Option<SecretUrl>,
}

/// Takes any text: an error of the command line would quote it.
#[expect(clippy::unnecessary_wraps, reason = "what clap asks of a parser")]
fn secret(url: &str) -> Result<SecretUrl, Infallible> {
    Ok(SecretUrl::new(url))
}

/// Both servers.
pub(super) struct Backing {
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    /// Addresses of the ledger's database as superuser, owner and writer.
    pub admin_url: String,
    /// As the schema's owner.
    pub owner_url: String,
    /// As the role that runs Sealbus.
    pub writer_url: String,
    /// The broker.
    pub nats_url: String,
    /// The variables whose values hold a login that dev was given, and does not print.
    pub lent: Vec<&'static str>,
    /// Worth telling the user.
    pub remarks: Vec<String>,
}

impl Backing {
    /// Starts what is to be started, and makes database and roles.
    pub(super) async fn start(
        args: &BackingArgs,
        settings: &Settings,
        folder: &Folder,
        ephemeral: bool,
    ) -> Result<Self, Failure> {
        let (mut remarks, mut lent) = (Vec::new(), Vec::new());
        let postgres_elsewhere = args.postgres_url.clone().or_else(|| settings.find(table::DEV_POSTGRES_URL));
        let nats_elsewhere = args.nats_url.clone().or_else(|| settings.find(table::DEV_NATS_URL));
        if args.postgres_port.is_some() && postgres_elsewhere.is_some()
            || args.nats_port.is_some() && nats_elsewhere.is_some()
        {
            return Err(Failure::usage(
                "a port is chosen for a server of dev's own, and SEALBUS_DEV_POSTGRES_URL or SEALBUS_DEV_NATS_URL names another",
            ));
        }
        let (postgres, maintenance) = if let Some(url) = postgres_elsewhere {
            lent.push(table::ADMIN_DATABASE_URL.name());
            (None, url.expose().to_owned())
        } else {
            let folder = folder.server("postgres");
            let options = PostgresOptions { folder, port: args.postgres_port, ephemeral, fsync: true };
            let postgres = Postgres::start(options).await?;
            if let Some(moved) = postgres.relocated_to() {
                let data = moved.display();
                remarks.push(format!("Postgres' user cannot get into this folder, so its data lies in {data}"));
            }
            let url = postgres.admin_url("postgres");
            (Some(postgres), url)
        };
        let (nats, nats_url) = if let Some(url) = nats_elsewhere {
            lent.push(table::NATS_URL.name());
            (None, url.expose().to_owned())
        } else {
            let folder = folder.server("nats");
            let nats = Nats::start(NatsOptions { folder, port: args.nats_port, ephemeral, sync_always: false }).await?;
            let url = nats.url();
            (Some(nats), url)
        };
        create_database(&maintenance, DATABASE, None).await?;
        let admin_url = address(&maintenance, None, DATABASE)?;
        let (owner, writer) = (folder.password(OWNER)?, folder.password(WRITER)?);
        make_roles(&admin_url, &owner, &writer).await?;
        // Sinks' tables lie in public here, where a person looks first.
        allow_tables_in_public(&admin_url).await?;
        Ok(Self {
            owner_url: address(&maintenance, Some((OWNER, &owner)), DATABASE)?,
            writer_url: address(&maintenance, Some((WRITER, &writer)), DATABASE)?,
            postgres,
            nats,
            admin_url,
            nats_url,
            lent,
            remarks,
        })
    }

    /// Waits until one of the children ends by itself, which none does in health.
    pub(super) async fn died(&mut self) -> BackingError {
        match (&mut self.postgres, &mut self.nats) {
            (Some(postgres), Some(nats)) => {
                tokio::select! { error = postgres.exited() => error, error = nats.exited() => error }
            }
            (Some(postgres), None) => postgres.exited().await,
            (None, Some(nats)) => nats.exited().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Stops what was started, the broker first.
    pub(super) async fn stop(mut self) {
        if let Some(nats) = &mut self.nats {
            nats.stop().await;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.stop().await;
        }
    }
}

/// The same server, as somebody else and in another database.
fn address(url: &str, login: Option<(&str, &str)>, database: &str) -> Result<String, Failure> {
    let broken = || Failure::usage("the Postgres address has to look like postgres://user:password@host:port/database");
    let (scheme, rest) = url.split_once("://").ok_or_else(broken)?;
    let (old_login, place) = rest.rsplit_once('@').ok_or_else(broken)?;
    let host = place.split(['/', '?']).next().ok_or_else(broken)?;
    let login = login.map_or_else(|| old_login.to_owned(), |(user, password)| format!("{user}:{password}"));
    Ok(format!("{scheme}://{login}@{host}/{database}"))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_for_somebody_else() {
        let url = "postgres://root:a@b@127.0.0.1:5432/postgres?sslmode=disable";
        assert_eq!(address(url, Some(("w", "p")), "sealbus").unwrap(), "postgres://w:p@127.0.0.1:5432/sealbus");
        assert_eq!(address(url, None, "sealbus").unwrap(), "postgres://root:a@b@127.0.0.1:5432/sealbus");
        assert!(address("nowhere", None, "x").is_err());
    }
}
