//! Postgres and NATS for `sealbus dev`: child processes, or servers that run already.

use std::convert::Infallible;

use sealbus_backing::{BackingError, Nats, NatsOptions, Postgres, PostgresOptions};
use sealbus_ledger::schema::bootstrap::{OWNER, WRITER, allow_tables_in_public, create_database, make_roles};
use sealbus_runtime::settings::{SecretUrl, Settings, table};

use super::folder::Folder;
use crate::failure::Failure;
use crate::output::notice;

const DATABASE: &str = "sealbus";

#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct BackingArgs {
    /// Port of Postgres [default: a free port]
    #[arg(long, conflicts_with = "postgres_url")]
    postgres_port: Option<u16>,
    /// Port of NATS [default: a free port]
    #[arg(long, conflicts_with = "nats_url")]
    nats_port: Option<u16>,
    /// Superuser URL of a Postgres that runs already; the environment variable keeps the password out of process lists
    /// [env: SEALBUS_DEV_POSTGRES_URL] [default: start one]
    #[arg(long, value_parser = secret)]
    postgres_url: Option<SecretUrl>,
    /// URL of a NATS server that runs already [env: SEALBUS_DEV_NATS_URL] [default: start one]
    #[arg(long, value_parser = secret)]
    nats_url: Option<SecretUrl>,
}

/// Accepts any text, because an error of clap would print the value, which may contain a password.
#[expect(clippy::unnecessary_wraps, reason = "the signature that clap requires of a parser")]
fn secret(url: &str) -> Result<SecretUrl, Infallible> {
    Ok(SecretUrl::new(url))
}

/// The URLs of the broker, and of the ledger's database as superuser, as the schema's owner, and as the role that runs Sealbus.
pub(super) struct BackingUrls {
    pub admin: String,
    pub owner: String,
    pub writer: String,
    pub nats: String,
    /// The variables whose values contain a login that the user gave. They are not printed.
    pub secret_variables: Vec<&'static str>,
}

/// The servers that are child processes.
pub(super) struct Servers {
    postgres: Option<Postgres>,
    nats: Option<Nats>,
}

impl Servers {
    /// Starts the servers that are not given, and creates the database and its roles.
    pub(super) async fn start(
        args: &BackingArgs,
        settings: &Settings,
        folder: &Folder,
        ephemeral: bool,
    ) -> Result<(Self, BackingUrls), Failure> {
        let mut secret_variables = Vec::new();
        let postgres_url = args.postgres_url.clone().or_else(|| settings.find(table::DEV_POSTGRES_URL));
        let nats_url = args.nats_url.clone().or_else(|| settings.find(table::DEV_NATS_URL));
        if args.postgres_port.is_some() && postgres_url.is_some() || args.nats_port.is_some() && nats_url.is_some() {
            return Err(Failure::usage(
                "a port cannot be chosen for a server that SEALBUS_DEV_POSTGRES_URL or SEALBUS_DEV_NATS_URL names",
            ));
        }
        let (postgres, maintenance) = if let Some(url) = postgres_url {
            secret_variables.push(table::ADMIN_DATABASE_URL.name());
            (None, url.expose().to_owned())
        } else {
            let folder = folder.server("postgres");
            let options = PostgresOptions { folder, port: args.postgres_port, ephemeral, fsync: true };
            let postgres = Postgres::start(options).await?;
            if let Some(folder) = postgres.relocated_to() {
                let data = folder.display();
                notice(format_args!("the user that runs Postgres cannot access this folder, so the data is in {data}"));
            }
            let url = postgres.admin_url("postgres");
            (Some(postgres), url)
        };
        let (nats, nats_url) = if let Some(url) = nats_url {
            secret_variables.push(table::NATS_URL.name());
            (None, url.expose().to_owned())
        } else {
            let folder = folder.server("nats");
            let nats = Nats::start(NatsOptions { folder, port: args.nats_port, ephemeral }).await?;
            let url = nats.url();
            (Some(nats), url)
        };
        create_database(&maintenance, DATABASE, None).await?;
        let admin = database_url(&maintenance, None, DATABASE)?;
        let (owner, writer) = (folder.password(OWNER)?, folder.password(WRITER)?);
        make_roles(&admin, &owner, &writer).await?;
        // Tables of sinks are in the schema public here, where a person looks first.
        allow_tables_in_public(&admin).await?;
        let owner = database_url(&maintenance, Some((OWNER, &owner)), DATABASE)?;
        let writer = database_url(&maintenance, Some((WRITER, &writer)), DATABASE)?;
        Ok((Self { postgres, nats }, BackingUrls { admin, owner, writer, nats: nats_url, secret_variables }))
    }

    /// Waits until a child process ends without being stopped, which is a failure.
    pub(super) async fn died(&mut self) -> BackingError {
        match (&mut self.postgres, &mut self.nats) {
            (Some(postgres), Some(nats)) => {
                tokio::select! { error = postgres.process.exited() => error, error = nats.process.exited() => error }
            }
            (Some(postgres), None) => postgres.process.exited().await,
            (None, Some(nats)) => nats.process.exited().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Stops the child processes, the broker first.
    pub(super) async fn stop(mut self) {
        if let Some(nats) = &mut self.nats {
            nats.process.stop().await;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.process.stop().await;
        }
    }
}

/// Returns the URL of another database on the same server, with another login if one is given.
fn database_url(url: &str, login: Option<(&str, &str)>, database: &str) -> Result<String, Failure> {
    let invalid = || Failure::usage("the Postgres URL must have the form postgres://user:password@host:port/database");
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let (old_login, place) = rest.rsplit_once('@').ok_or_else(invalid)?;
    let host = place.split(['/', '?']).next().ok_or_else(invalid)?;
    let login = login.map_or_else(|| old_login.to_owned(), |(user, password)| format!("{user}:{password}"));
    Ok(format!("{scheme}://{login}@{host}/{database}"))
}

#[cfg(test)]
mod tests {
    use super::database_url;

    #[test]
    fn login_and_database_of_a_url_are_replaced() {
        let url = "postgres://root:a@b@127.0.0.1:5432/postgres?sslmode=disable";
        assert_eq!(database_url(url, Some(("w", "p")), "sealbus").unwrap(), "postgres://w:p@127.0.0.1:5432/sealbus");
        assert_eq!(database_url(url, None, "sealbus").unwrap(), "postgres://root:a@b@127.0.0.1:5432/sealbus");
        assert!(database_url("nowhere", None, "x").is_err());
    }
}
