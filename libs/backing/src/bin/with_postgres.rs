//! Runs a command with a temporary Postgres and exits with the command's status.
//!
//! The command finds the superuser's URL in `DATABASE_URL`, and Postgres' programs such as psql first in its PATH.

use std::process::ExitCode;

use sealbus_backing::{Postgres, PostgresOptions, postgres_bin};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("usage: with_postgres COMMAND [ARGUMENT…]")?;
    let folder = tempfile::tempdir()?.keep();
    let mut postgres = Postgres::start(PostgresOptions { folder, port: None, ephemeral: true, fsync: false }).await?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([postgres_bin()?].into_iter().chain(std::env::split_paths(&path)))?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", postgres.admin_url("postgres"))
        .env("PATH", path)
        .status()
        .await;
    postgres.process.stop().await;
    Ok(ExitCode::from(status?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
