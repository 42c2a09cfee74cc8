//! Runs a command beside a Postgres of its own, whose superuser's address is in `DATABASE_URL`; ends with its status.

use std::process::ExitCode;

use sealbus_backing::{Postgres, PostgresOptions};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("say which command to run")?;
    let folder = tempfile::tempdir()?.keep();
    let mut postgres = Postgres::start(PostgresOptions { folder, port: None, ephemeral: true, fsync: false }).await?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", postgres.admin_url("postgres"))
        .status()
        .await;
    postgres.stop().await;
    Ok(ExitCode::from(status?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
