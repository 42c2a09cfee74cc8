//! A database for one test.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sealbus_backing::PostgresOptions;
use sealbus_core::error_chain;
use sealbus_ledger::schema::bootstrap::{OWNER, WRITER, create_database, make_roles};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::eventually;

/// The database that is migrated once and cloned for each test.
const TEMPLATE: &str = "sealbus_template";
/// The password of both roles, in tests only.
const PASSWORD: &str = "only-for-tests";

/// The cluster that all tests of this process share.
static SHARED: OnceCell<sealbus_backing::Postgres> = OnceCell::const_new();

/// Starts a cluster with the roles of a Sealbus deployment and the migrated template.
async fn start_cluster(fsync: bool) -> sealbus_backing::Postgres {
    let folder = tempfile::tempdir().expect("a folder for Postgres").keep();
    let cluster = start_server(folder, fsync).await;
    create_database(&cluster.admin_url("postgres"), TEMPLATE, None).await.expect("the template database is created");
    make_roles(&cluster.admin_url(TEMPLATE), PASSWORD, PASSWORD).await.expect("the roles are created");
    sealbus_ledger::migrate(&cluster.url(OWNER, PASSWORD, TEMPLATE)).await.expect("the migrations apply");
    cluster
}

/// Starts a server on the data in this folder. Its supervisor removes the folder.
async fn start_server(folder: PathBuf, fsync: bool) -> sealbus_backing::Postgres {
    let options = PostgresOptions { folder, port: None, ephemeral: true, fsync };
    let started = sealbus_backing::Postgres::start(options).await;
    started.unwrap_or_else(|error| panic!("{}", error_chain(&error)))
}

/// Puts the standby in the place of the data. Recovery that finds no more WAL ends at once, and begins a new timeline.
fn promote(data: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(data)?;
    std::fs::rename(data.with_file_name("standby"), data)?;
    begin_timeline(data)
}

/// Makes the next start of a server on this data begin a new timeline.
fn begin_timeline(data: &Path) -> io::Result<()> {
    for (name, text) in [("postgresql.auto.conf", "restore_command = 'false'\n"), ("recovery.signal", "")] {
        std::fs::write(data.join(name), text)?;
        own_like(data, &data.join(name))?;
    }
    Ok(())
}

/// Copies the data and the password of a cluster to a new folder. A server on the copy begins a new timeline.
fn copy_cluster(data: &Path, folder: &Path) -> io::Result<()> {
    std::fs::create_dir(folder)?;
    let password = folder.join("password");
    std::fs::copy(data.with_file_name("password"), &password)?;
    own_like(data, folder)?;
    own_like(data, &password)?;
    copy_folder(data, &folder.join("data"))?;
    begin_timeline(&folder.join("data"))
}

/// Copies a folder, with owners and permissions.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    own_like(from, to)?;
    for entry in std::fs::read_dir(from)? {
        let (source, copy) = (entry?.path(), to);
        let copy = copy.join(source.file_name().expect("an entry has a name"));
        if source.is_dir() {
            copy_folder(&source, &copy)?;
        } else {
            std::fs::copy(&source, &copy)?;
            own_like(&source, &copy)?;
        }
    }
    Ok(())
}

/// Gives a path to the owner of another one. If the tests run as root, Postgres runs as another user.
fn own_like(owned: &Path, path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(owned)?;
    std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()))
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

    /// Makes a standby of the cluster of [`Postgres::own_cluster`] that receives nothing from now on. Restarts the server.
    pub async fn leave_standby_behind(&mut self) {
        self.kill().await;
        let data = self.server().data();
        copy_folder(&data, &data.with_file_name("standby")).expect("the data can be copied");
        self.restart().await;
    }

    /// Kills the server and promotes the standby in its place, at the same address. What was committed since
    /// [`Postgres::leave_standby_behind`] is lost, as in a failover with asynchronous replication.
    pub async fn fail_over(&mut self) {
        self.kill().await;
        let data = self.server().data();
        promote(&data).expect("the standby can be promoted");
        self.restart().await;
        self.is_promoted().await;
    }

    async fn is_promoted(&self) {
        let in_recovery = "SELECT pg_is_in_recovery()::int::bigint";
        eventually("the standby is promoted", async || self.count(in_recovery).await == 0).await;
    }

    /// Starts a promoted standby of the cluster of [`Postgres::own_cluster`], with all its data, while the cluster goes on.
    /// Restarts the server.
    pub async fn promoted_copy(&mut self) -> Self {
        self.kill().await;
        let data = self.server().data();
        let folder = data.with_file_name("promoted");
        copy_cluster(&data, &folder).expect("the cluster can be copied");
        self.restart().await;
        let copy = Self { database: self.database.clone(), own: Some(start_server(folder, true).await) };
        copy.is_promoted().await;
        copy
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
