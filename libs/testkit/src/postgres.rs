//! A database of the test's own.

use sealbus_backing::PostgresOptions;
use sealbus_ledger::schema::bootstrap::{OWNER, WRITER, create_database, make_roles};
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
        let admin = |database: &str| server.admin_url(database);
        create_database(&admin("postgres"), TEMPLATE, None).await.expect("the template is made");
        make_roles(&admin(TEMPLATE), PASSWORD, PASSWORD).await.expect("the roles are made");
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
        self.server().url(WRITER, PASSWORD, &self.database)
    }

    /// An address of the schema's owner.
    pub fn owner_url(&self) -> String {
        self.server().url(OWNER, PASSWORD, &self.database)
    }

    /// An address of the superuser.
    pub fn admin_url(&self) -> String {
        self.server().admin_url(&self.database)
    }

    /// Runs statements as the superuser.
    pub async fn admin(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the superuser gets in");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
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
