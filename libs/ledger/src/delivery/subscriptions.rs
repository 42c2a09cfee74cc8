//! Subscriptions: the named consumers, and from where each of them counts.
//!
//! A subscription exists once it has a floor in every partition (PROTOCOL, Consume, rule 5): from the beginning that is 0;
//! from now it is the log's size once everything that was queued at its creation is sealed. Until then nobody may act for
//! it, so creation has two steps, and whoever creates waits between them.

use sealbus_core::names::Subscription;
use serde::{Deserialize, Serialize};

use crate::{Ledger, LedgerError};

/// From where a new subscription is owed events. It is read at creation and never again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// All of history.
    #[default]
    Beginning,
    /// What comes after its creation was answered.
    Now,
}

impl Start {
    /// `beginning` or `now`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Now => "now",
        }
    }
}

/// What became of a subscription's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Its number, which is in no file or message.
    pub subscription_no: i64,
    /// Where it starts, as stored: the first creation decides.
    pub start: Start,
    /// Where floors are still missing: what to hand to [`Subscriptions::finish`] until that succeeds.
    pub waits_for: Option<SealedUpTo>,
}

/// Everything that waited for its leaf at a moment, as the highest id of the seal queue then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedUpTo(i64);

/// The named consumers. From [`Ledger::subscriptions`].
#[derive(Clone, Copy)]
pub struct Subscriptions<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Subscriptions<'_> {
    /// Finds or creates a subscription. From the beginning it is complete at once; from now it waits.
    pub async fn find_or_create(self, name: &Subscription, start: Start) -> Result<Subscribed, LedgerError> {
        let mut transaction = self.ledger.pool().begin().await?;
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
        let start = if row.start == Start::Now.as_str() { Start::Now } else { Start::Beginning };
        let complete = row.floors == i64::from(self.ledger.deployment().partitions);
        let waits_for = match start {
            _ if complete => None,
            Start::Now => Some(SealedUpTo(newest_queued(&mut transaction).await?)),
            Start::Beginning => {
                sqlx::query!(
                    "-- floors_from_beginning
                    INSERT INTO sealbus.floors (subscription_no, partition, floor)
                    SELECT $1, partition, 0 FROM generate_series(0, $2 - 1) AS partition ON CONFLICT DO NOTHING",
                    row.subscription_no,
                    self.partitions(),
                )
                .execute(&mut *transaction)
                .await?;
                None
            }
        };
        transaction.commit().await?;
        Ok(Subscribed { subscription_no: row.subscription_no, start, waits_for })
    }

    /// Gives a subscription that starts now its floors, if all that it waits for is sealed. Says whether it did.
    ///
    /// The queue and the log's size are read in one statement: what is sealed beside it is either counted in both or in none.
    pub async fn finish(self, subscription_no: i64, waits_for: SealedUpTo) -> Result<bool, LedgerError> {
        let written = sqlx::query!(
            "-- floors_from_now
            INSERT INTO sealbus.floors (subscription_no, partition, floor)
            SELECT $1, partition, (SELECT coalesce(max(leaf_index) + 1, 0) FROM sealbus.log_leaves WHERE log_id = $3)
            FROM generate_series(0, $2 - 1) AS partition
            WHERE NOT EXISTS (SELECT FROM sealbus.seal_queue WHERE id <= $4)
            ON CONFLICT (subscription_no, partition) DO UPDATE SET floor = floors.floor",
            subscription_no,
            self.partitions(),
            self.ledger.deployment().log_id,
            waits_for.0,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(written.rows_affected() > 0)
    }

    /// The number of a subscription, where it exists.
    pub async fn number(self, name: &Subscription) -> Result<Option<i64>, LedgerError> {
        let number = sqlx::query_scalar!(
            "-- subscription_no\nSELECT subscription_no FROM sealbus.subscriptions WHERE name = $1",
            name.as_str()
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(number)
    }

    /// Names of all subscriptions, in order.
    pub async fn names(self) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar!("-- subscriptions\nSELECT name FROM sealbus.subscriptions ORDER BY name")
            .fetch_all(self.ledger.pool())
            .await?;
        Ok(names)
    }

    fn partitions(self) -> i32 {
        i32::try_from(self.ledger.deployment().partitions).unwrap_or(i32::MAX)
    }
}

async fn newest_queued(connection: &mut sqlx::PgConnection) -> Result<i64, LedgerError> {
    let newest =
        sqlx::query_scalar!(r#"SELECT coalesce(max(id), 0) AS "newest!" FROM sealbus.seal_queue -- newest_queued"#)
            .fetch_one(connection)
            .await?;
    Ok(newest)
}
