//! A ledger with one plan and one subscription.

use std::time::Duration;

use sealbus_core::event::{Header, Record};
use sealbus_core::hash::Hash;
use sealbus_core::names::Subscription;
use sealbus_ledger::append::Appender;
use sealbus_ledger::delivery::parking::SetAside;
use sealbus_ledger::delivery::positions::{LeaseEpoch, Move, Position, PositionState, advance};
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{ORIGIN, call};

/// A ledger with one subscription, its lease, and a plan of some events.
pub(crate) struct Scene {
    pub test: TestLedger,
    pub appender: Appender,
    pub subscription_no: i64,
    pub lease: LeaseEpoch,
    pub plan_no: i64,
    pub records: Vec<Record>,
}

pub(crate) fn subscription() -> Subscription {
    Subscription::parse("audit").unwrap()
}

impl Scene {
    pub(crate) async fn with(events: u64) -> Self {
        let test = TestLedger::start().await;
        let appender = test.appender().await;
        for n in 0..events {
            appender.append(call("acme", "order-1", vec![draft(n)])).await.unwrap();
        }
        let subscription_no = test
            .ledger
            .subscriptions()
            .find_or_create(&subscription(), Start::Beginning)
            .await
            .unwrap()
            .subscription_no;
        let plan_no = test.ledger.history().plan_no("acme", "order-1").await.unwrap().unwrap();
        let records = test.ledger.history().range(plan_no, 1, 100, 100).await.unwrap();
        let mut scene = Self { test, appender, subscription_no, lease: lease(1), plan_no, records };
        scene.take_over(1).await;
        scene
    }

    /// Gives the lease to another owner, with this epoch.
    pub(crate) async fn take_over(&mut self, epoch: i64) {
        let taken = format!(
            "INSERT INTO sealbus.leases VALUES ('deliver/audit', '0', 'holder-{epoch}', {epoch}, clock_timestamp() + interval '1 hour')
             ON CONFLICT (kind, key) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch"
        );
        self.test.postgres.admin(&taken).await;
        self.lease = lease(epoch);
    }

    pub(crate) async fn position(&self) -> Position {
        self.test
            .ledger
            .positions()
            .read(self.subscription_no, &[self.plan_no])
            .await
            .unwrap()
            .remove(&self.plan_no)
            .unwrap()
            .unwrap()
    }

    /// Moves the position in a separate transaction. Returns whether the position moved.
    pub(crate) async fn step(&self, lease: &LeaseEpoch, from: &Position, to: u64) -> bool {
        let mut transaction = self.test.ledger.effects().begin().await.unwrap();
        let step = Move { from, next_seq: to, last_hash: self.hash(to - 1) };
        let moved = advance(&mut transaction, self.subscription_no, lease, &[step]).await.unwrap();
        if moved {
            transaction.commit().await.unwrap();
        }
        moved
    }

    pub(crate) fn hash(&self, seq: u64) -> Hash {
        match seq {
            0 => Header::genesis(ORIGIN, "acme", "order-1"),
            seq => self.records[usize::try_from(seq).unwrap() - 1].event_hash,
        }
    }

    pub(crate) async fn park(&self, from: &Position, seen_seq: u64) -> bool {
        let errors = ["it failed".to_owned()];
        let aside = SetAside {
            state: PositionState::Parked,
            seen_seq,
            attempts: 1,
            retry_in: Some(Duration::ZERO),
            errors: &errors,
        };
        self.test.ledger.positions().set_aside(self.subscription_no, &self.lease, from, &aside).await.unwrap()
    }

    pub(crate) async fn set(&self, sql: &str) {
        self.test.postgres.admin(&format!("UPDATE sealbus.positions SET {sql} WHERE plan_no = {}", self.plan_no)).await;
    }

    pub(crate) async fn is_due(&self) -> bool {
        let held: Vec<(i64, u32)> = (0..8).map(|partition| (self.subscription_no, partition)).collect();
        !self.test.ledger.positions().due(&held, 10).await.unwrap().is_empty()
    }
}

pub(crate) fn lease(epoch: i64) -> LeaseEpoch {
    LeaseEpoch { kind: "deliver/audit".into(), key: "0".into(), epoch }
}
