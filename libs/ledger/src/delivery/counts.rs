//! How far subscriptions are, in numbers for a person.

use sealbus_core::names::{Subscription, Tenant};

use crate::LedgerError;
use crate::delivery::subscriptions::Subscriptions;

/// A subscription's positions, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The subscription.
    pub subscription: String,
    /// Plans that it has a position in.
    pub plans: u64,
    /// Events that it is done with: applied, or of a type that it does not want.
    pub passed: u64,
    /// Plans that wait for another try.
    pub parked: u64,
    /// Plans that wait for an operator.
    pub dead: u64,
}

impl Subscriptions<'_> {
    /// All subscriptions' counts, by name.
    pub async fn counts(self) -> Result<Vec<DeliveryCount>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- delivery_counts
            SELECT s.name, count(p.plan_no) AS "plans!", coalesce(sum(p.next_seq - 1), 0)::bigint AS "passed!",
                count(*) FILTER (WHERE p.state IN ('parked', 'behind')) AS "parked!",
                count(*) FILTER (WHERE p.state IN ('dead', 'fork')) AS "dead!"
            FROM sealbus.subscriptions s LEFT JOIN sealbus.positions p USING (subscription_no)
            GROUP BY s.name ORDER BY s.name"#
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| DeliveryCount {
                subscription: row.name,
                plans: row.plans.unsigned_abs(),
                passed: row.passed.unsigned_abs(),
                parked: row.parked.unsigned_abs(),
                dead: row.dead.unsigned_abs(),
            })
            .collect())
    }

    /// Events of all tenants but the bus's own that a subscription from the beginning is not done with.
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
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Ok(events.unsigned_abs())
    }
}
