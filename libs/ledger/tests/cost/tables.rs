//! A ledger whose tables are filled with SQL, and the rows that a call of it reads.

use sealbus_ledger::Ledger;
use sealbus_testkit::{Postgres, TestLedger, eventually_eq};

/// The database of a ledger.
pub(crate) struct Tables {
    postgres: Postgres,
}

impl Tables {
    /// Creates a ledger with its first event, which is not sealed.
    pub(crate) async fn start() -> Self {
        Self { postgres: TestLedger::start().await.postgres }
    }

    /// Opens the ledger with new connections.
    pub(crate) async fn ledger(&self) -> Ledger {
        sealbus_testkit::ledger::open(&self.postgres.url()).await
    }

    /// Adds plans of a tenant, with these names as an SQL expression of `n`, and with partition `n % 8`.
    pub(crate) async fn add_plans(&self, tenant: &str, name: &str, count: u32) {
        self.sql(&format!(
            "INSERT INTO sealbus.plans (tenant, plan, partition) SELECT '{tenant}', {name}, n % 8 FROM generate_series(1, {count}) n"
        ))
        .await;
    }

    /// Adds a plan with this many events. `event_type` and `payload` are SQL expressions of `seq`. Returns the number of the plan.
    pub(crate) async fn add_plan(&self, tenant: &str, plan: &str, events: u32, event_type: &str, payload: &str) -> i64 {
        self.add_plans(tenant, &format!("'{plan}'"), 1).await;
        let plan_no = self.ledger().await.history().plan_no(tenant, plan).await.unwrap().unwrap();
        self.sql(&format!(
            "INSERT INTO sealbus.events
             SELECT {plan_no}, seq, '{tenant}', gen_random_uuid(), {event_type}, 1, now(), now(), 'urn:test', 'tester', '', '', 1, 2,
                 sha256('{{}}'), sha256('{{}}'), sha256('{plan_no}/'::bytea || seq::text::bytea), 'hmac-0000000000000000',
                 sha256('{plan_no}/'::bytea || (seq + 1)::text::bytea), '', '', '', {payload}, '{{}}'
             FROM generate_series(1, {events}) seq"
        ))
        .await;
        plan_no
    }

    /// Gives all events of a plan leaves, after those that the log has.
    pub(crate) async fn seal(&self, plan_no: i64) {
        let ledger = self.ledger().await;
        let (log_id, size) = (ledger.deployment().log_id, ledger.log().size().await.unwrap());
        self.sql(&format!(
            "INSERT INTO sealbus.log_leaves SELECT '{log_id}', {size} + e.seq - 1, e.plan_no, e.seq, p.partition, e.event_hash
             FROM sealbus.events e JOIN sealbus.plans p USING (plan_no) WHERE e.plan_no = {plan_no}"
        ))
        .await;
    }

    /// Runs statements as the superuser.
    pub(crate) async fn sql(&self, sql: &str) {
        self.postgres.admin(sql).await;
    }

    /// Returns the result of calls of the ledger, and the number of rows and index entries that their statements read, with a few
    /// more for opening the ledger.
    ///
    /// The calls have connections of their own, because a session reports its counts for certain only when it ends.
    pub(crate) async fn cost<T>(&self, calls: impl AsyncFnOnce(&Ledger) -> T) -> (T, i64) {
        let before = self.rows_read().await;
        let result = calls(&self.ledger().await).await;
        (result, self.rows_read().await - before)
    }

    /// Returns the result of calls of the ledger, and the number of chunks of large payloads that the server read for them.
    pub(crate) async fn chunks<T>(&self, calls: impl AsyncFnOnce(&Ledger) -> T) -> (T, i64) {
        let chunks = async || {
            self.sessions_have_ended().await;
            self.postgres
                .count(
                    "SELECT idx_tup_fetch FROM pg_stat_all_tables
                     WHERE relid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'sealbus.events'::regclass)",
                )
                .await
        };
        let before = chunks().await;
        let result = calls(&self.ledger().await).await;
        (result, chunks().await - before)
    }

    /// Waits until the sessions of the calls before have ended, and so have reported their counts.
    async fn sessions_have_ended(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        eventually_eq("the number of sessions", 0, async || self.postgres.count(others).await).await;
    }

    /// Returns the number of rows and index entries that all sessions of the database have read so far.
    async fn rows_read(&self) -> i64 {
        self.sessions_have_ended().await;
        self.postgres
            .count(
                "SELECT ((SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes))::bigint",
            )
            .await
    }
}
