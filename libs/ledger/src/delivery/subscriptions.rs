//! Subscriptions: the named consumers, where each of them starts, and how far each of them is.
//!
//! A subscription exists once it has a floor in every partition (`docs/spec/protocol.md#consume-5`). A subscription from the
//! beginning has the floor 0. One from now gets the size of the log, once everything that was queued at its creation is
//! sealed. No process may act for it before, so its creation has two steps, and the caller waits between them.

use sealbus_core::names::{Subscription, Tenant};
use serde::{Deserialize, Serialize};

use crate::log::newest_queued;
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
    /// The events that have to be sealed before [`Subscriptions::finish`] can finish the creation. `None` if it is finished.
    pub waits_for: Option<SealedUpTo>,
}

/// The events that were in the seal queue at a moment, by the highest id in the queue at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedUpTo(i64);

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
    /// Finds or creates a subscription. One from the beginning is finished at once; one from now has to be finished.
    pub async fn find_or_create(self, name: &Subscription, start: Start) -> Result<Subscribed, LedgerError> {
        self.ledger.background().within(self.find_or_create_once(name, start)).await
    }

    async fn find_or_create_once(self, name: &Subscription, start: Start) -> Result<Subscribed, LedgerError> {
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
        let start = Start::stored(row.subscription_no, &row.start)?;
        let finished = row.floors == i64::from(self.ledger.deployment().partitions);
        let waits_for = match start {
            _ if finished => None,
            Start::Now => Some(SealedUpTo(newest_queued(&mut *transaction).await?)),
            Start::Beginning => {
                sqlx::query!(
                    "-- floors_from_beginning
                    INSERT INTO sealbus.floors (subscription_no, partition, floor)
                    SELECT $1, partition, 0 FROM generate_series(0, $2 - 1) AS partition ON CONFLICT DO NOTHING",
                    row.subscription_no,
                    self.partitions()?,
                )
                .execute(&mut *transaction)
                .await?;
                None
            }
        };
        transaction.commit().await?;
        Ok(Subscribed { subscription_no: row.subscription_no, start, waits_for })
    }

    /// Gives a subscription from now its floors, if all that it waits for is sealed. Returns whether it did.
    ///
    /// The seal queue and the size of the log are read in one statement, so that a concurrent sealing counts in both or in
    /// neither.
    pub async fn finish(self, subscription_no: i64, waits_for: SealedUpTo) -> Result<bool, LedgerError> {
        let written = sqlx::query!(
            "-- floors_from_now
            INSERT INTO sealbus.floors (subscription_no, partition, floor)
            SELECT $1, partition, (SELECT coalesce(max(leaf_index) + 1, 0) FROM sealbus.log_leaves WHERE log_id = $3)
            FROM generate_series(0, $2 - 1) AS partition
            WHERE NOT EXISTS (SELECT FROM sealbus.seal_queue WHERE id <= $4)
            ON CONFLICT (subscription_no, partition) DO UPDATE SET floor = floors.floor",
            subscription_no,
            self.partitions()?,
            self.ledger.deployment().log_id,
            waits_for.0,
        );
        Ok(written.execute(self.ledger.background()).await?.rows_affected() > 0)
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
