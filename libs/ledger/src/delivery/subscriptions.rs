//! Subscriptions: the named consumers, where each of them starts, and how far each of them is.
//!
//! A subscription exists once it has a floor in every partition (`docs/spec/protocol.md#consume-5`). A subscription from the
//! beginning has the floor 0. One from now has the size of the log, and positions after the events that are not sealed yet.

use sealbus_core::names::{Subscription, Tenant};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::commit::commit;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// Where a new subscription starts. It is read at creation and never again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the first event of the ledger.
    #[default]
    Beginning,
    /// At the events that are published after its creation was answered.
    Now,
}

impl Start {
    /// Returns the word that is stored: `beginning` or `now`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Now => "now",
        }
    }

    /// Parses the word that is stored for a subscription.
    fn stored(subscription_no: i64, word: &str) -> Result<Self, LedgerError> {
        let column = Column::new("subscriptions", "start").of_row(subscription_no);
        let start = [Self::Beginning, Self::Now].into_iter().find(|start| start.as_str() == word);
        start.ok_or_else(|| column.corrupt(format!("unknown start {word:?}")))
    }
}

/// A subscription that was found or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The number of the subscription, which appears in no file or message.
    pub subscription_no: i64,
    /// Where it starts, as stored: the first creation decides.
    pub start: Start,
}

/// Totals over the positions of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The name of the subscription.
    pub subscription: String,
    /// Plans in which it has a position.
    pub plans: u64,
    /// Events that it applied, or passed because it does not want their type.
    pub passed: u64,
    /// Plans that are parked or deferred.
    pub parked: u64,
    /// Plans that are dead letters or forks, and wait for an operator.
    pub dead: u64,
}

/// Access to subscriptions, from [`Ledger::subscriptions`].
#[derive(Clone, Copy)]
pub struct Subscriptions<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Subscriptions<'_> {
    /// Finds or creates a subscription.
    pub async fn find_or_create(self, name: &Subscription, start: Start) -> Result<Subscribed, LedgerError> {
        let operation = async {
            let mut transaction = self.ledger.background().begin().await?;
            sqlx::query!(
                "-- subscribe
                INSERT INTO sealbus.subscriptions (name, start) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                name.as_str(),
                start.as_str(),
            )
            .execute(&mut *transaction)
            .await?;
            let row = sqlx::query!(
                r#"-- subscription
                SELECT s.subscription_no, s.start, (SELECT count(*) FROM sealbus.floors f WHERE f.subscription_no = s.subscription_no) AS "floors!"
                FROM sealbus.subscriptions s WHERE s.name = $1"#,
                name.as_str(),
            )
            .fetch_one(&mut *transaction)
            .await?;
            let (subscription_no, start) = (row.subscription_no, Start::stored(row.subscription_no, &row.start)?);
            if row.floors != i64::from(self.ledger.deployment().partitions) {
                match start {
                    Start::Beginning => self.begin_at_beginning(&mut transaction, subscription_no).await?,
                    Start::Now => self.begin_now(&mut transaction, subscription_no).await?,
                }
            }
            commit(transaction).await?;
            Ok(Subscribed { subscription_no, start })
        };
        self.ledger.background().within(operation).await
    }

    async fn begin_at_beginning(self, connection: &mut PgConnection, subscription_no: i64) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- floors_from_beginning
            INSERT INTO sealbus.floors (subscription_no, partition, floor)
            SELECT $1, partition, 0 FROM generate_series(0, $2 - 1) AS partition ON CONFLICT DO NOTHING",
            subscription_no,
            self.partitions()?,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Makes a subscription begin after all events that are in the ledger: after the sealed ones by its floors, and after those in
    /// the seal queue by a position in each of their plans.
    ///
    /// Log, queue and positions are read in one statement, so that a concurrent sealing counts in all of them or in none. A queued
    /// event that the ledger lacks, or whose row is damaged, gives no position: its plan is delivered from its last leaf on.
    async fn begin_now(self, connection: &mut PgConnection, subscription_no: i64) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- floors_from_now
            WITH queued AS (
                SELECT plan_no, max(seq) AS seq FROM sealbus.seal_queue GROUP BY plan_no
            ), positions AS (
                INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, epoch)
                SELECT $1, q.plan_no, q.seq + 1, e.event_hash, 0
                FROM queued q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
                WHERE q.seq BETWEEN 1 AND 9223372036854775806 AND octet_length(e.event_hash) = 32
                ON CONFLICT DO NOTHING
            )
            INSERT INTO sealbus.floors (subscription_no, partition, floor)
            SELECT $1, partition, (SELECT coalesce(max(leaf_index) + 1, 0) FROM sealbus.log_leaves WHERE log_id = $3)
            FROM generate_series(0, $2 - 1) AS partition ON CONFLICT DO NOTHING",
            subscription_no,
            self.partitions()?,
            self.ledger.deployment().log_id,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Returns the number of a subscription; `None` if it does not exist.
    pub async fn number(self, name: &Subscription) -> Result<Option<i64>, LedgerError> {
        let number = sqlx::query_scalar!(
            "-- subscription_no\nSELECT subscription_no FROM sealbus.subscriptions WHERE name = $1",
            name.as_str()
        );
        Ok(number.fetch_optional(self.ledger.background()).await?)
    }

    /// Returns the names of all subscriptions, sorted.
    pub async fn names(self) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar!("-- subscriptions\nSELECT name FROM sealbus.subscriptions ORDER BY name");
        Ok(names.fetch_all(self.ledger.background()).await?)
    }

    /// Returns the totals of all subscriptions, sorted by name.
    pub async fn counts(self) -> Result<Vec<DeliveryCount>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- delivery_counts
            SELECT s.name, count(p.plan_no) AS "plans!", coalesce(sum(p.next_seq - 1), 0)::bigint AS "passed!",
                count(*) FILTER (WHERE p.state IN ('parked', 'behind')) AS "parked!",
                count(*) FILTER (WHERE p.state IN ('dead', 'fork')) AS "dead!"
            FROM sealbus.subscriptions s LEFT JOIN sealbus.positions p USING (subscription_no)
            GROUP BY s.name ORDER BY s.name"#
        );
        let count = Column::new("positions", "count(*)");
        let counts = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            Ok(DeliveryCount {
                subscription: row.name,
                plans: count.read(row.plans)?,
                passed: Column::new("positions", "sum(next_seq - 1)").read(row.passed)?,
                parked: count.read(row.parked)?,
                dead: count.read(row.dead)?,
            })
        });
        counts.collect()
    }

    /// Returns the number of events that a subscription from the beginning has not passed yet. Events of Sealbus's own tenant
    /// do not count.
    pub async fn undelivered(self, subscription: &Subscription) -> Result<u64, LedgerError> {
        let system = Tenant::system();
        let events = sqlx::query_scalar!(
            r#"-- undelivered
            SELECT count(*) AS "events!" FROM sealbus.events e
            LEFT JOIN sealbus.positions p ON p.plan_no = e.plan_no
                AND p.subscription_no = (SELECT subscription_no FROM sealbus.subscriptions WHERE name = $1)
            WHERE e.tenant <> $2 AND e.seq >= coalesce(p.next_seq, 1)"#,
            subscription.as_str(),
            system.as_str(),
        );
        Column::new("events", "count(*)").read(events.fetch_one(self.ledger.background()).await?)
    }

    fn partitions(self) -> Result<i32, LedgerError> {
        Column::new("deployment", "partitions").integer(self.ledger.deployment().partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_as_it_was_stored_and_an_unknown_one_names_its_column() {
        for start in [Start::Beginning, Start::Now] {
            assert_eq!(Start::stored(1, start.as_str()).unwrap(), start);
        }
        let error = Start::stored(3, "tomorrow").unwrap_err().to_string();
        assert_eq!(error, r#"subscriptions.start of row 3 is invalid: unknown start "tomorrow""#);
    }
}
