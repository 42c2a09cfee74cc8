//! A database for one test.

use sealbus_backing::PostgresOptions;
use sealbus_core::error_chain;
use sealbus_ledger::schema::bootstrap::{OWNER, WRITER, create_database, make_roles};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The database that is migrated once and cloned for each test.
const TEMPLATE: &str = "sealbus_template";
/// The password of both roles, in tests only.
const PASSWORD: &str = "only-for-tests";

/// The cluster that all tests of this process share.
static SHARED: OnceCell<sealbus_backing::Postgres> = OnceCell::const_new();

/// Starts a cluster with the roles of a Sealbus deployment and the migrated template.
async fn start_cluster(fsync: bool) -> sealbus_backing::Postgres {
    // The server's supervisor removes it.
    let folder = tempfile::tempdir().expect("a folder for Postgres").keep();
    let options = PostgresOptions { folder, port: None, ephemeral: true, fsync };
    let started = sealbus_backing::Postgres::start(options).await;
    let cluster = started.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
    create_database(&cluster.admin_url("postgres"), TEMPLATE, None).await.expect("the template database is created");
    make_roles(&cluster.admin_url(TEMPLATE), PASSWORD, PASSWORD).await.expect("the roles are created");
    sealbus_ledger::migrate(&cluster.url(OWNER, PASSWORD, TEMPLATE)).await.expect("the migrations apply");
    cluster
}

/// Clones the template and returns the name of the new database.
async fn clone_template(cluster: &sealbus_backing::Postgres) -> String {
    let database = format!("test_{}", Uuid::new_v4().simple());
    let created = create_database(&cluster.admin_url("postgres"), &database, Some(TEMPLATE)).await;
    created.expect("the template is cloned");
    database
}

/// A migrated database with the roles of a Sealbus deployment.
pub struct Postgres {
    database: String,
    /// `None` if the database is in the shared cluster.
    own: Option<sealbus_backing::Postgres>,
}

impl Postgres {
    /// Creates a database in the shared cluster, which the first caller starts.
    pub async fn start() -> Self {
        let cluster = SHARED.get_or_init(|| start_cluster(false)).await;
        Self { database: clone_template(cluster).await, own: None }
    }

    /// Starts a cluster that only this test uses, with fsync on, and creates a database in it.
    pub async fn own_cluster() -> Self {
        let cluster = start_cluster(true).await;
        Self { database: clone_template(&cluster).await, own: Some(cluster) }
    }

    /// The URL for the writer, the role that all services use.
    pub fn url(&self) -> String {
        self.server().url(WRITER, PASSWORD, &self.database)
    }

    /// The URL for the owner of the schema.
    pub fn owner_url(&self) -> String {
        self.server().url(OWNER, PASSWORD, &self.database)
    }

    /// The URL for the superuser.
    pub fn admin_url(&self) -> String {
        self.server().admin_url(&self.database)
    }

    /// Runs statements as the superuser, and panics if one fails.
    pub async fn admin(&self, sql: &str) {
        let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connect_as_admin().await).await;
        result.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Runs a query that returns one `bigint`, as the superuser.
    pub async fn count(&self, sql: &str) -> i64 {
        let row = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connect_as_admin().await).await;
        row.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Kills the cluster of [`Postgres::own_cluster`] with SIGKILL.
    pub async fn kill(&mut self) {
        self.own_cluster_mut().process.kill().await;
    }

    /// Starts the cluster of [`Postgres::own_cluster`] again.
    pub async fn restart(&mut self) {
        self.own_cluster_mut().restart().await.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
    }

    async fn connect_as_admin(&self) -> PgConnection {
        PgConnection::connect(&self.admin_url()).await.expect("the superuser can connect")
    }

    fn server(&self) -> &sealbus_backing::Postgres {
        let cluster = self.own.as_ref().or_else(|| SHARED.get());
        cluster.expect("the shared cluster was started before its first database")
    }

    fn own_cluster_mut(&mut self) -> &mut sealbus_backing::Postgres {
        self.own.as_mut().expect("only a cluster of its own may be killed")
    }
}
