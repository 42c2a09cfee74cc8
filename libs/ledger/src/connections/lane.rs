//! A lane: a pool of connections for one kind of work, and the deadline of each operation on them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction};
use tokio::time::timeout;

use super::usage::{LaneUsage, Waits};
use super::{Outages, options, pool_options};
use crate::error::is_unreachable;

/// A pool of connections for one kind of work, with a deadline for each operation. Clones share the pool.
///
/// A lane is an [`Executor`]: a statement that is executed on it has the deadline of the lane, which includes waiting for a
/// connection. Where rows are streamed, the deadline applies to each row. Operations of several statements run
/// [`within`](Self::within) the deadline. After an expired deadline the connection is closed unless the server answers at once,
/// and the error counts as an unreachable database.
#[derive(Clone, Debug)]
pub struct Lane {
    pool: PgPool,
    deadline: Duration,
    outages: Arc<Outages>,
    waits: Arc<Waits>,
}

impl Lane {
    pub(super) fn new(pool: PgPool, deadline: Duration, outages: Arc<Outages>) -> Self {
        Self { pool, deadline, outages, waits: Arc::default() }
    }

    /// Returns a lane to another database than the ledger's, for sinks. Its sessions have the defaults of that database.
    ///
    /// # Errors
    /// An error if the URL is not that of a Postgres database.
    pub fn to_other_database(url: &str, connections: u32, deadline: Duration) -> Result<Self, sqlx::Error> {
        let outages = Arc::new(Outages::default());
        let pool = pool_options(connections, deadline, &outages).connect_lazy_with(options(url)?);
        Ok(Self::new(pool, deadline, outages))
    }

    /// Returns the highest number of connections that the lane opens.
    pub fn max_connections(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// Returns the time that one operation may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns how the connections of the lane are used now.
    pub fn usage(&self) -> LaneUsage {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let (waits, failed_waits, waited) = self.waits.read();
        // The two numbers are read one after the other, so that more can be idle than were open.
        let open = self.pool.size().max(idle);
        LaneUsage { max: self.max_connections(), open, idle, waits, waited, failed_waits }
    }

    /// Lends a connection, for which it waits until the deadline. Dropping it gives it back.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.lending(self.pool.acquire()).await
    }

    /// Begins a transaction. Dropping it rolls it back.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.lending(self.pool.begin()).await
    }

    /// Begins a transaction with these statements, the first of which is BEGIN.
    pub async fn begin_with(&self, statements: impl SqlSafeStr) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.lending(self.pool.begin_with(statements)).await
    }

    /// Counts a wait for a connection, with the BEGIN that it is lent with.
    async fn lending<T>(&self, lending: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let (wait, since) = (self.waits.begin(), Instant::now());
        let lent = lending.await.inspect_err(|error| match error {
            sqlx::Error::PoolTimedOut => self.outages.begin_unless_answered(since),
            _ => self.report(error),
        })?;
        wait.lent();
        Ok(lent)
    }

    /// Runs an operation of several statements, which must end before the deadline.
    ///
    /// # Errors
    /// The error of the operation, or an unreachable database if the deadline has passed; the outcome of the operation is unknown
    /// then.
    pub fn within<T, E: From<sqlx::Error>>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        self.within_deadline(self.deadline, operation)
    }

    /// Runs an operation as [`within`](Self::within) does, with another deadline than that of the lane.
    pub fn within_deadline<T, E: From<sqlx::Error>>(
        &self,
        deadline: Duration,
        operation: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        // Operations nest; without the box the futures of their callers would hold several copies of them.
        let in_time = timeout(deadline, Box::pin(operation));
        async move {
            let since = Instant::now();
            match in_time.await {
                Ok(outcome) => outcome.inspect(|_| self.outages.answered()),
                Err(_) => Err(self.expired(deadline, since).into()),
            }
        }
    }

    /// Waits until the lane is being closed.
    pub(crate) async fn closing(&self) {
        self.pool.close_event().await;
    }

    /// Closes all connections. Waits for those that are lent.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Records that the database could not be reached, if this is the error of a broken connection. Connections that were open
    /// before are not lent again. An expired deadline was recorded when it expired.
    pub(crate) fn report(&self, error: &sqlx::Error) {
        let recorded = match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        };
        if is_unreachable(error) && !recorded {
            self.outages.begin();
        }
    }

    fn expired(&self, deadline: Duration, since: Instant) -> sqlx::Error {
        self.outages.begin_unless_answered(since);
        sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer from the database within {deadline:?}"),
        ))
    }

    /// Lends a connection and runs one statement on it, within the deadline.
    async fn statement<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let statement = async {
            let mut connection = self.acquire().await?;
            statement(&mut connection).await.inspect_err(|error| self.report(error))
        };
        self.within(statement).await
    }
}

impl<'c> Executor<'c> for &'c Lane {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.statement(async |connection| connection.execute(query).await).boxed()
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.statement(async |connection| connection.fetch_all(query).await).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.statement(async |connection| connection.fetch_optional(query).await).boxed()
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = Some(self.pool.fetch_many(query));
        let rows = stream::unfold((self.clone(), rows), async |(lane, rows)| {
            let mut rows = rows?;
            let row =
                lane.within(async { rows.next().await.transpose().inspect_err(|error| lane.report(error)) }).await;
            let rest = row.is_ok().then_some(rows);
            row.transpose().map(|row| (row, (lane, rest)))
        });
        rows.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.statement(async |connection| connection.prepare_with(sql, parameters).await).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.statement(async |connection| connection.describe(sql).await).boxed()
    }
}
