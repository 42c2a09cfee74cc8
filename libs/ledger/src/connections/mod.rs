//! The connections of a process to its ledger: one [`Lane`] for each kind of work, so that none takes the connections of another.
//!
//! The rules are in `docs/spec/protocol.md#append-connections`.
//!
//! | lane | work |
//! |---|---|
//! | `appends` | the transactions that append events |
//! | `reads` | reading events, plans and the log, for callers and commands |
//! | `background` | outbox, seal queue, positions, leases: what a role does by itself |
//! | `effects` | transactions in which the effect of a handler and its position commit together |
//! | `probes` | readiness checks |
//!
//! # Failures
//!
//! | failure | what happens |
//! |---|---|
//! | an operation gets no answer before the deadline | It fails as unreachable. Its connection is closed unless it answers within [`RETURN_TIMEOUT`]. |
//! | a caller goes away during an operation | The same: the connection is given back once the server has answered, or closed. |
//! | a connection was closed while it was idle | It is tested before it is lent again, if it was idle for [`IDLE_BEFORE_TEST`] or longer. |
//! | the database was unreachable: a connection broke, or nobody had an answer while a caller waited in vain | No connection that was open before is lent again, in any lane. |

mod lane;
mod lent;
mod session;
mod usage;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

pub use self::lane::Lane;
pub use self::lent::LentConnection;
pub use self::usage::LaneUsage;
use crate::OpenError;
use crate::append::CONNECTIONS_PER_BATCHER;
use crate::server_history::{self, Observed};

/// How long a caller waits for a connection, if the deadline is not shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that is given back may need until the server answers. This covers the end of a statement whose caller
/// has gone, and the rollback of its transaction.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);
/// The idle time from which a connection is tested before it is lent. No server restarts faster, and a connection that is in use
/// all the time is never tested.
const IDLE_BEFORE_TEST: Duration = Duration::from_millis(50);
/// The time without failures after which another failure counts as another outage.
const ONE_OUTAGE: Duration = Duration::from_secs(1);

/// How many connections a process opens to its ledger, and how long one operation may take.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Connections for appends.
    pub appends: u32,
    /// Connections for reads.
    pub reads: u32,
    /// Connections for background work.
    pub background: u32,
    /// Connections for the effects of handlers.
    pub effects: u32,
    /// The time that one operation may take, with the time in which it waits for a connection.
    pub deadline: Duration,
}

/// Connections for readiness checks.
const PROBES: u32 = 1;

impl ConnectionSettings {
    /// Divides `total` connections among the lanes of a publisher: its batchers get what they can use at the same time. If
    /// the total is at least six times `batchers`, half of it less one remains for reads and background work.
    pub fn publisher(total: u32, batchers: u32, deadline: Duration) -> Self {
        let appends = batchers.saturating_mul(CONNECTIONS_PER_BATCHER);
        let rest = total.saturating_sub(PROBES + appends);
        let background = (rest / 3).max(1);
        Self { appends, reads: rest.saturating_sub(background).max(1), background, effects: 0, deadline }
    }

    /// Divides `total` connections among the lanes of a process that consumes events.
    pub fn consumer(total: u32, deadline: Duration) -> Self {
        let rest = total.saturating_sub(PROBES);
        let (effects, background) = (rest / 2, (rest / 4).max(1));
        Self { appends: 0, reads: rest.saturating_sub(effects + background).max(1), background, effects, deadline }
    }

    /// Divides `total` connections among the lanes of a relay or a sealer.
    pub fn background(total: u32, deadline: Duration) -> Self {
        let rest = total.saturating_sub(PROBES);
        let reads = (rest / 3).max(1);
        Self { appends: 0, reads, background: rest.saturating_sub(reads).max(1), effects: 0, deadline }
    }

    /// Divides `total` connections among the lanes of a command, which appends with one batcher at most.
    pub fn command(total: u32, deadline: Duration) -> Self {
        Self::publisher(total, 1, deadline)
    }
}

/// The lanes of one process. Clones share the pools.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub appends: Lane,
    pub reads: Lane,
    pub background: Lane,
    pub effects: Lane,
    pub probes: Lane,
    /// The history of the server that the connections belong to.
    pub observed: Arc<Observed>,
    outages: Arc<Outages>,
}

impl Connections {
    /// Returns the lanes to the database at `url`. No connection is opened before it is needed.
    pub(crate) fn new(url: &str, settings: &ConnectionSettings) -> Result<Self, OpenError> {
        let (outages, observed) = (Arc::new(Outages::default()), Arc::new(Observed::default()));
        let options = options(url).map_err(OpenError::Address)?;
        let lane = |connections: u32| {
            let pool = pool_options(connections, settings.deadline, &outages)
                .after_connect({
                    let (outages, observed) = (outages.clone(), observed.clone());
                    move |connection, _| {
                        let (outages, observed) = (outages.clone(), observed.clone());
                        Box::pin(async move {
                            session::prepare(connection).await?;
                            let history = server_history::read(connection).await?;
                            if observed.observe(history) {
                                outages.begin();
                            }
                            Ok(())
                        })
                    }
                })
                .connect_lazy_with(options.clone());
            Lane::new(pool, settings.deadline, outages.clone())
        };
        Ok(Self {
            appends: lane(settings.appends),
            reads: lane(settings.reads),
            background: lane(settings.background),
            effects: lane(settings.effects),
            probes: lane(PROBES),
            observed,
            outages,
        })
    }

    /// Closes all connections. Waits for those that are lent.
    pub(crate) async fn close(&self) {
        for (_, lane) in self.lanes() {
            lane.close().await;
        }
    }

    /// Returns all lanes with their names.
    pub(crate) fn lanes(&self) -> [(&'static str, &Lane); 5] {
        [
            ("appends", &self.appends),
            ("reads", &self.reads),
            ("background", &self.background),
            ("effects", &self.effects),
            ("probes", &self.probes),
        ]
    }

    /// Returns how often the database was found unreachable, or was found to be another server.
    pub(crate) fn outages(&self) -> u64 {
        self.outages.count.load(Ordering::Relaxed)
    }
}

/// When the database was last found unreachable, by any lane.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    times: Mutex<Times>,
    /// The number of outages that any operation met.
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Times {
    outage: Option<Instant>,
    answer: Option<Instant>,
}

impl Outages {
    /// Records that the database is unreachable now. What fails within [`ONE_OUTAGE`] after another failure belongs to the same
    /// outage.
    fn begin(&self) {
        let mut times = self.times();
        if times.outage.is_none_or(|last| last.elapsed() > ONE_OUTAGE) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        times.outage = Some(Instant::now());
    }

    /// Records that an operation succeeded.
    fn answered(&self) {
        self.times().answer = Some(Instant::now());
    }

    /// Records that the database is unreachable if it has answered nobody since then. A caller that waited in vain while others
    /// had answers met locks, or a lane whose connections are all in use.
    fn begin_unless_answered(&self, since: Instant) {
        if self.times().answer.is_none_or(|answer| answer < since) {
            self.begin();
        }
    }

    /// Returns whether a connection of this age was open when the database was unreachable.
    fn has_hit(&self, age: Duration) -> bool {
        self.times().outage.is_some_and(|last| age >= last.elapsed())
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens one connection to the database at `url`, which belongs to no lane.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, OpenError> {
    let mut connection = PgConnection::connect_with(&options(url).map_err(OpenError::Address)?).await?;
    session::prepare(&mut connection).await?;
    Ok(connection)
}

/// Returns the options of a connection to the database at `url`.
fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("sealbus"))
}

/// Returns the options of a pool of up to `connections`, for which a caller waits no longer than `deadline`.
fn pool_options(connections: u32, deadline: Duration, outages: &Arc<Outages>) -> PgPoolOptions {
    let outages = outages.clone();
    PgPoolOptions::new()
        // A lane that a process does not use opens no connection, but a pool has to allow one.
        .max_connections(connections.max(1))
        .acquire_timeout(deadline.min(CONNECT_TIMEOUT))
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let outages = outages.clone();
            Box::pin(async move { may_be_lent(connection, &metadata, &outages).await })
        })
        // Without a bound of its own, the pool would wait forever for the answer of a server that has vanished, and with it the
        // place of the connection would be lost.
        .after_release(move |connection, _| Box::pin(answers(connection, RETURN_TIMEOUT)))
}

/// Returns whether an idle connection may be lent. If it was idle for long, the server has to answer first, because it may have
/// closed the connection meanwhile.
async fn may_be_lent(
    connection: &mut PgConnection,
    metadata: &PoolConnectionMetadata,
    outages: &Outages,
) -> Result<bool, sqlx::Error> {
    if outages.has_hit(metadata.age) {
        return Ok(false);
    }
    if metadata.idle_for < IDLE_BEFORE_TEST {
        return Ok(true);
    }
    answers(connection, RETURN_TIMEOUT).await.inspect_err(|_| outages.begin())
}

/// Returns `true` if the server answers in time.
async fn answers(connection: &mut PgConnection, limit: Duration) -> Result<bool, sqlx::Error> {
    match timeout(limit, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::Protocol(format!("no answer from the server within {limit:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_close_to_one_another_count_as_one_outage() {
        let outages = Outages::default();
        outages.begin();
        outages.begin();
        assert_eq!(outages.count.load(Ordering::Relaxed), 1);
        outages.times().outage = Instant::now().checked_sub(2 * ONE_OUTAGE);
        outages.begin();
        assert_eq!(outages.count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn connections_from_before_an_outage_are_not_lent() {
        let outages = Outages::default();
        assert!(!outages.has_hit(Duration::from_mins(1)), "there was no outage");
        outages.begin();
        assert!(outages.has_hit(Duration::from_mins(1)));
        assert!(!outages.has_hit(Duration::ZERO), "a connection that was opened afterwards is lent");
    }
}
