//! What a superuser does once before there is a ledger: the database, its two roles and its schemas.
//!
//! This is for `sealbus dev` and for tests. In production an administrator does the same with `migrations/roles.sql`.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::OpenError;

/// The role that owns the schema and applies migrations.
pub const OWNER: &str = "sealbus_owner";
/// The role that all services of Sealbus use.
pub const WRITER: &str = "sealbus_writer";

/// Creates a database, unless one of that name exists. With `template` it is a copy of that database.
///
/// `name` and `template` become part of a statement. They must be fixed by the program and consist of letters, digits and
/// underscores.
pub async fn create_database(admin_url: &str, name: &str, template: Option<&str>) -> Result<(), OpenError> {
    let mut connection = connect(admin_url).await?;
    let exists = sqlx::query_scalar!(
        r#"-- database_is_there
        SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS "there!""#,
        name
    );
    if !exists.fetch_one(&mut connection).await? {
        let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
        execute(&mut connection, &format!("CREATE DATABASE {name}{template}")).await?;
    }
    Ok(connection.close().await?)
}

/// Creates the two roles and the schemas in the database of `admin_url`, unless they exist.
pub async fn make_schemas(admin_url: &str) -> Result<(), OpenError> {
    let mut connection = connect(admin_url).await?;
    execute(&mut connection, include_str!("../../../../migrations/roles.sql")).await?;
    Ok(connection.close().await?)
}

/// Does the same as [`make_schemas`], and lets the roles log in with these passwords.
pub async fn make_roles(admin_url: &str, owner_password: &str, writer_password: &str) -> Result<(), OpenError> {
    make_schemas(admin_url).await?;
    let mut connection = connect(admin_url).await?;
    for (role, password) in [(OWNER, owner_password), (WRITER, writer_password)] {
        // ALTER ROLE takes no parameters, so the server quotes the password.
        let statement = sqlx::query_scalar!(
            r#"-- role_password
            SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text) AS "statement!""#,
            role,
            password
        );
        let statement = statement.fetch_one(&mut connection).await?;
        execute(&mut connection, &statement).await?;
    }
    Ok(connection.close().await?)
}

/// Lets the writer create tables in schema `public`, where the sinks of a development deployment have theirs.
pub async fn allow_tables_in_public(admin_url: &str) -> Result<(), OpenError> {
    let mut connection = connect(admin_url).await?;
    execute(&mut connection, "GRANT USAGE, CREATE ON SCHEMA public TO sealbus_writer").await?;
    Ok(connection.close().await?)
}

async fn connect(url: &str) -> Result<PgConnection, OpenError> {
    let options =
        PgConnectOptions::from_str(url).map_err(OpenError::Address)?.options([("client_min_messages", "warning")]);
    // A statement can contain a password, which must not be logged.
    Ok(options.disable_statement_logging().connect().await?)
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), OpenError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
