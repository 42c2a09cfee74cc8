//! A database of the test's own.

use sealbus_backing::PostgresOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Migrated once, cloned for each test.
const TEMPLATE: &str = "sealbus_template";
/// Test-only passwords of the two roles.
const PASSWORD: &str = "only-for-tests";

/// The cluster of this process.
static SHARED: OnceCell<Cluster> = OnceCell::const_new();

struct Cluster {
    server: sealbus_backing::Postgres,
}

impl Cluster {
    async fn start(fsync: bool) -> Self {
        // The server's shell removes it.
        let folder = tempfile::tempdir().expect("a folder for Postgres").keep();
        let options = PostgresOptions { folder, port: None, ephemeral: true, fsync };
        let server = sealbus_backing::Postgres::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let cluster = Self { server };
        cluster.execute("postgres", &format!("CREATE DATABASE {TEMPLATE}")).await;
        cluster.execute(TEMPLATE, include_str!("../../../migrations/roles.sql")).await;
        for role in ["sealbus_owner", "sealbus_writer"] {
            cluster.execute(TEMPLATE, &format!("ALTER ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).await;
        }
        sealbus_ledger::migrate(&cluster.server.url("sealbus_owner", PASSWORD, TEMPLATE)).await.expect("the migrations apply");
        cluster
    }

    async fn clone_template(&self) -> String {
        let database = format!("test_{}", Uuid::new_v4().simple());
        self.execute("postgres", &format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}")).await;
        database
    }

    async fn execute(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.server.admin_url(database)).await.expect("the superuser gets in");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        connection.close().await.expect("the connection closes");
    }
}

/// A migrated database with the roles of a Sealbus deployment.
pub struct Postgres {
    database: String,
    /// None where the database lies in the process' shared cluster.
    own: Option<Cluster>,
}

impl Postgres {
    /// A database in the shared cluster, which is started by whoever comes first.
    pub async fn start() -> Self {
        let cluster = SHARED.get_or_init(|| Cluster::start(false)).await;
        Self { database: cluster.clone_template().await, own: None }
    }

    /// A cluster of the test's own, to be killed and reconfigured at will.
    pub async fn own_cluster() -> Self {
        let cluster = Cluster::start(true).await;
        Self { database: cluster.clone_template().await, own: Some(cluster) }
    }

    /// An address of the role that all services use.
    pub fn url(&self) -> String {
        self.server().url("sealbus_writer", PASSWORD, &self.database)
    }

    /// An address of the schema's owner.
    pub fn owner_url(&self) -> String {
        self.server().url("sealbus_owner", PASSWORD, &self.database)
    }

    /// An address of the superuser.
    pub fn admin_url(&self) -> String {
        self.server().admin_url(&self.database)
    }

    /// Runs statements as the superuser.
    pub async fn admin(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the superuser gets in");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Kills an own cluster, as a crash would.
    pub async fn kill(&mut self) {
        self.own_server().kill().await;
    }

    /// Starts an own cluster again.
    pub async fn restart(&mut self) {
        self.own_server().restart().await.unwrap_or_else(|error| panic!("{error}"));
    }

    fn server(&self) -> &sealbus_backing::Postgres {
        match &self.own {
            Some(cluster) => &cluster.server,
            None => &SHARED.get().expect("the cluster was there when the database was made").server,
        }
    }

    fn own_server(&mut self) -> &mut sealbus_backing::Postgres {
        &mut self.own.as_mut().expect("only a test's own cluster is killed").server
    }
}
