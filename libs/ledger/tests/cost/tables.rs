//! A ledger whose tables are filled with SQL, and the rows that a call of it reads.

use sealbus_ledger::Ledger;
use sealbus_testkit::{Postgres, TestLedger};

/// A ledger with a single connection, and its database.
pub(crate) struct Tables {
    pub ledger: Ledger,
    pub postgres: Postgres,
}

impl Tables {
    /// Creates a ledger with its first event, which is not sealed.
    pub(crate) async fn start() -> Self {
        let test = TestLedger::start().await;
        let ledger = Ledger::open(&test.postgres.url(), 1).await.unwrap();
        Self { ledger, postgres: test.postgres }
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
        let plan_no = self.ledger.history().plan_no(tenant, plan).await.unwrap().unwrap();
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
        let (log_id, size) = (self.ledger.deployment().log_id, self.ledger.log().size().await.unwrap());
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

    /// Returns the result of a call of the ledger, and the number of rows and index entries that its statements read.
    ///
    /// The ledger has one connection, so that its statistics are complete once that connection has reported them.
    pub(crate) async fn cost<T>(&self, call: impl Future<Output = T>) -> (T, i64) {
        let before = self.rows_read().await;
        let result = call.await;
        (result, self.rows_read().await - before)
    }

    async fn rows_read(&self) -> i64 {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(self.ledger.effects_pool()).await.unwrap();
        self.postgres
            .count(
                "SELECT ((SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes))::bigint",
            )
            .await
    }
}
