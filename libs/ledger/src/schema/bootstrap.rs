//! What a superuser does once before there is a ledger: the database and its two roles. For `sealbus dev` and for tests; in
//! production an administrator does the same with `migrations/roles.sql`.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::LedgerError;

/// The roles of a deployment.
pub const OWNER: &str = "sealbus_owner";
/// The role that every service runs as.
pub const WRITER: &str = "sealbus_writer";

/// Makes a database where there is none of that name; `template` copies another one.
///
/// `name` and `template` are the caller's own words, not input: letters, digits and underscores.
pub async fn create_database(admin_url: &str, name: &str, template: Option<&str>) -> Result<(), LedgerError> {
    let mut connection = connect(admin_url).await?;
    let there = sqlx::query_scalar!(
        r#"-- database_is_there
        SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS "there!""#,
        name
    )
    .fetch_one(&mut connection)
    .await?;
    if !there {
        let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
        execute(&mut connection, &format!("CREATE DATABASE {name}{template}")).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Makes the two roles, unless they are there, and the schemas in the database of `admin_url`.
pub async fn make_schemas(admin_url: &str) -> Result<(), LedgerError> {
    let mut connection = connect(admin_url).await?;
    execute(&mut connection, include_str!("../../../../migrations/roles.sql")).await?;
    connection.close().await?;
    Ok(())
}

/// Makes the two roles and the schemas in the database of `admin_url`, and lets the roles log in with these passwords.
pub async fn make_roles(admin_url: &str, owner_password: &str, writer_password: &str) -> Result<(), LedgerError> {
    make_schemas(admin_url).await?;
    let mut connection = connect(admin_url).await?;
    for (role, password) in [(OWNER, owner_password), (WRITER, writer_password)] {
        // ALTER ROLE takes no parameters, so the server quotes the password.
        let statement = sqlx::query_scalar!(
            r#"-- role_password
            SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text) AS "statement!""#,
            role,
            password
        )
        .fetch_one(&mut connection)
        .await?;
        execute(&mut connection, &statement).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Lets the writer make tables in `public`, where the sinks of a development deployment keep theirs.
pub async fn allow_tables_in_public(admin_url: &str) -> Result<(), LedgerError> {
    let mut connection = connect(admin_url).await?;
    execute(&mut connection, "GRANT USAGE, CREATE ON SCHEMA public TO sealbus_writer").await?;
    connection.close().await?;
    Ok(())
}

async fn connect(url: &str) -> Result<PgConnection, LedgerError> {
    let options =
        PgConnectOptions::from_str(url).map_err(LedgerError::Address)?.options([("client_min_messages", "warning")]);
    // A password in a statement must not reach the log.
    Ok(options.disable_statement_logging().connect().await?)
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), LedgerError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
