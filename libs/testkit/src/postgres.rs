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
static SHARED: OnceCell<Cluster> = OnceCell::const_new();

struct Cluster {
    server: sealbus_backing::Postgres,
}

impl Cluster {
    async fn start(fsync: bool) -> Self {
        // The server's supervisor removes it.
        let folder = tempfile::tempdir().expect("a folder for Postgres").keep();
        let options = PostgresOptions { folder, port: None, ephemeral: true, fsync };
        let server =
            sealbus_backing::Postgres::start(options).await.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
        let admin = |database: &str| server.admin_url(database);
        create_database(&admin("postgres"), TEMPLATE, None).await.expect("the template database is created");
        make_roles(&admin(TEMPLATE), PASSWORD, PASSWORD).await.expect("the roles are created");
        sealbus_ledger::migrate(&server.url(OWNER, PASSWORD, TEMPLATE)).await.expect("the migrations apply");
        Self { server }
    }

    async fn clone_template(&self) -> String {
        let database = format!("test_{}", Uuid::new_v4().simple());
        create_database(&self.server.admin_url("postgres"), &database, Some(TEMPLATE))
            .await
            .expect("the template is cloned");
        database
    }
}

/// A migrated database with the roles of a Sealbus deployment.
pub struct Postgres {
    database: String,
    /// `None` if the database is in the shared cluster.
    own: Option<Cluster>,
}

impl Postgres {
    /// Creates a database in the shared cluster, which the first caller starts.
    pub async fn start() -> Self {
        let cluster = SHARED.get_or_init(|| Cluster::start(false)).await;
        Self { database: cluster.clone_template().await, own: None }
    }

    /// Starts a cluster that only this test uses, with fsync on, and creates a database in it.
    pub async fn own_cluster() -> Self {
        let cluster = Cluster::start(true).await;
        Self { database: cluster.clone_template().await, own: Some(cluster) }
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
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the superuser can connect");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Runs a query that returns one `bigint`, as the superuser.
    pub async fn count(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the superuser can connect");
        let row = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await;
        row.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Kills the cluster of [`Postgres::own_cluster`] with SIGKILL.
    pub async fn kill(&mut self) {
        self.own_server().kill().await;
    }

    /// Starts the cluster of [`Postgres::own_cluster`] again.
    pub async fn restart(&mut self) {
        self.own_server().restart().await.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
    }

    fn server(&self) -> &sealbus_backing::Postgres {
        match &self.own {
            Some(cluster) => &cluster.server,
            None => &SHARED.get().expect("the shared cluster was started before its first database").server,
        }
    }

    fn own_server(&mut self) -> &mut sealbus_backing::Postgres {
        &mut self.own.as_mut().expect("only a cluster of its own may be killed").server
    }
}
