//! Leases, which expire by the database's clock, and the keepers that share them.

use std::collections::BTreeMap;
use std::time::Duration;

use sealbus_ledger::leases::keeper::{Change, Keeper, KeeperConfig, Lease};
use sealbus_ledger::leases::table::LeaseView;
use sealbus_testkit::ledger::ORIGIN;
use sealbus_testkit::{Postgres, TestLedger, eventually};
use sqlx::Connection;

const LONG: Duration = Duration::from_mins(10);

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|key| key.to_string()).collect()
}

/// Returns the configuration of a keeper with a short renewal interval, and leases that do not expire on a busy machine.
fn config(holder: &str, keys: Vec<String>) -> KeeperConfig {
    let (lease_duration, renew_interval) = (Duration::from_secs(3), Duration::from_millis(40));
    KeeperConfig { kind: "relay".into(), keys, owner: holder.into(), lease_duration, renew_interval }
}

/// A keeper, and the leases that it owns according to its changes so far.
struct Member {
    keeper: Keeper,
    held: BTreeMap<String, Lease>,
}

impl Member {
    fn start(test: &TestLedger, holder: &str, keys: Vec<String>) -> Self {
        Self { keeper: Keeper::start(test.ledger.clone(), config(holder, keys)), held: BTreeMap::new() }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Gained(lease) => assert!(self.held.insert(lease.key().to_owned(), lease).is_none()),
            Change::Lost(lease) => {
                let had = self.held.remove(lease.key()).expect("only what was gained is lost");
                assert_eq!(had.epoch(), lease.epoch());
                assert!(!had.still_held());
            }
        }
    }

    /// Applies the keeper's changes until it owns `count` leases.
    async fn holds(&mut self, count: usize) {
        let within = Duration::from_mins(1);
        while self.held.len() != count {
            let change =
                tokio::time::timeout(within, self.keeper.changed()).await.expect("it changes").expect("it runs");
            self.take(change);
        }
    }
}

#[tokio::test]
async fn a_lease_has_one_owner_and_each_take_raises_its_epoch() {
    let test = TestLedger::start().await;
    let ledger = &test.ledger;
    let mut taken = ledger.leases().take("relay", &keys(3), "a", LONG).await.unwrap();
    taken.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(
        taken.iter().map(|grant| (grant.key.as_str(), grant.epoch)).collect::<Vec<_>>(),
        [("0", 1), ("1", 1), ("2", 1)]
    );
    assert_eq!(ledger.leases().take("relay", &keys(3), "b", LONG).await.unwrap(), [], "an owned lease was taken");

    ledger.leases().release("relay", &keys(2), "b").await.unwrap();
    assert_eq!(
        ledger.leases().take("relay", &keys(3), "b", LONG).await.unwrap(),
        [],
        "a lease was released by a process that does not own it"
    );
    ledger.leases().release("relay", &keys(2), "a").await.unwrap();
    let taken = ledger.leases().take("relay", &keys(3), "b", LONG).await.unwrap();
    assert!(taken.len() == 2 && taken.iter().all(|grant| grant.epoch == 2), "{taken:?}");
    assert_eq!(ledger.leases().renew("relay", "a", LONG).await.unwrap().grants.len(), 1);
    assert_eq!(
        ledger.leases().take("deliver", &keys(1), "a", LONG).await.unwrap()[0].epoch,
        1,
        "two kinds share their epochs"
    );
}

#[tokio::test]
async fn an_expired_lease_is_not_renewed_and_can_be_taken() {
    let test = TestLedger::start().await;
    let ledger = &test.ledger;
    ledger.leases().take("relay", &keys(1), "a", Duration::ZERO).await.unwrap();
    ledger.leases().announce("relay", "a", Duration::ZERO).await.unwrap();
    let renewed = ledger.leases().renew("relay", "a", LONG).await.unwrap();
    assert!(!renewed.member && renewed.grants.is_empty(), "{renewed:?}");
    assert_eq!(ledger.leases().view("relay", LONG).await.unwrap().members, [] as [String; 0]);
    let taken = ledger.leases().take("relay", &keys(1), "b", LONG).await.unwrap();
    assert_eq!(taken[0].epoch, 2);
}

#[tokio::test]
async fn concurrent_takers_get_each_key_once() {
    let test = TestLedger::start().await;
    let keys = keys(64);
    let takers = (0..8).map(|taker| {
        let (ledger, keys) = (test.ledger.clone(), keys.clone());
        tokio::spawn(async move { ledger.leases().take("relay", &keys, &taker.to_string(), LONG).await.unwrap().len() })
    });
    let mut taken = 0;
    for taker in takers.collect::<Vec<_>>() {
        taken += taker.await.unwrap();
    }
    assert_eq!(taken, 64);
}

#[tokio::test]
async fn keepers_share_leases_fairly_when_members_join_and_leave() {
    let test = TestLedger::start().await;
    let mut first = Member::start(&test, "a", keys(8));
    first.holds(8).await;
    assert!(first.held.values().all(Lease::still_held));

    let mut second = Member::start(&test, "b", keys(8));
    tokio::join!(first.holds(4), second.holds(4));
    let mut third = Member::start(&test, "c", keys(8));
    tokio::join!(first.holds(3), second.holds(3), third.holds(2));
    let mut all: Vec<&String> = first.held.keys().chain(second.held.keys()).chain(third.held.keys()).collect();
    all.sort();
    assert_eq!(all, keys(8).iter().collect::<Vec<_>>(), "a lease has no owner or two owners");

    let of_second = second.held;
    second.keeper.stop().await;
    assert!(of_second.values().all(|lease| !lease.still_held()));
    tokio::join!(first.holds(4), third.holds(4));
    // Dropping the keeper is like the death of its process: its leases expire.
    drop(first);
    third.holds(8).await;
    for (key, lease) in of_second {
        assert!(third.held[&key].epoch() > lease.epoch(), "{key}");
    }
}

#[tokio::test]
async fn leases_of_a_crashed_owner_are_taken_after_they_expire() {
    let test = TestLedger::start().await;
    test.ledger.leases().announce("relay", "dead", Duration::from_secs(2)).await.unwrap();
    let dead = test.ledger.leases().take("relay", &keys(4), "dead", Duration::from_secs(2)).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut member = Member::start(&test, "alive", keys(4));
    member.holds(4).await;
    assert!(begun.elapsed() > Duration::from_millis(1_500), "not before: {:?}", begun.elapsed());
    assert!(dead.iter().all(|grant| member.held[&grant.key].epoch() == grant.epoch + 1));
}

#[tokio::test]
async fn a_member_that_is_not_able_gives_its_leases_to_others() {
    let test = TestLedger::start().await;
    let mut first = Member::start(&test, "a", keys(4));
    let mut second = Member::start(&test, "b", keys(4));
    tokio::join!(first.holds(2), second.holds(2));
    first.keeper.set_able(false);
    tokio::join!(first.holds(0), second.holds(4));
    first.keeper.set_able(true);
    tokio::join!(first.holds(2), second.holds(2));
}

/// A keeper that is stopped while it announces itself must not leave a membership behind, which others would wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_stops_while_it_announces_itself_leaves_no_member() {
    let test = TestLedger::start().await;
    // An uncommitted row with the same key holds the announcement up.
    let mut other = sqlx::PgConnection::connect(&test.postgres.owner_url()).await.unwrap();
    let mut blocker = other.begin().await.unwrap();
    sqlx::raw_sql("INSERT INTO sealbus.leases VALUES ('relay/members', 'a', 'a', 1, now())")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let keeper = Keeper::start(test.ledger.clone(), config("a", keys(1)));
    let announcing = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%announce%' AND wait_event_type = 'Lock'";
    eventually("the announcement waits", async || test.postgres.count(announcing).await == 1).await;

    let stopped = tokio::spawn(keeper.stop());
    // A keeper that does not wait has stopped during these round trips.
    for _ in 0..20 {
        sqlx::raw_sql("SELECT 1").execute(&mut *blocker).await.unwrap();
        assert!(!stopped.is_finished(), "the keeper did not wait for its announcement");
    }
    blocker.rollback().await.unwrap();
    stopped.await.unwrap();
    assert_eq!(test.ledger.leases().view("relay", LONG).await.unwrap(), LeaseView::default());
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost_and_gained_with_a_higher_epoch() {
    let test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let mut member = Member::start(&test, "a", keys(2));
    member.holds(2).await;
    let before = member.held.clone();
    let TestLedger { mut postgres, .. } = test;
    postgres.kill().await;
    member.holds(0).await;
    assert!(before.values().all(|lease| !lease.still_held()));
    postgres.restart().await;
    member.holds(2).await;
    for (key, lease) in before {
        assert!(member.held[&key].epoch() > lease.epoch(), "{key}");
    }
}

#[tokio::test]
async fn members_that_expired_long_ago_are_deleted() {
    let test = TestLedger::start().await;
    test.ledger.leases().announce("relay", "old", LONG).await.unwrap();
    test.postgres.admin("UPDATE sealbus.leases SET expires_at = clock_timestamp() - interval '2 hours'").await;
    test.ledger.leases().announce("relay", "new", LONG).await.unwrap();
    eventually("the expired member is deleted", async || {
        test.postgres.count("SELECT count(*) FROM sealbus.leases").await == 1
    })
    .await;
}

/// A row that expires in a year was not written by a process of Sealbus, or before the clock was set back.
#[tokio::test]
async fn members_and_leases_that_expire_far_in_the_future_count_as_expired() {
    let test = TestLedger::start().await;
    let year = "INSERT INTO sealbus.leases SELECT kind, key, 'ghost', 7, clock_timestamp() + interval '1 year' \
                FROM (VALUES ('relay', '0'), ('relay/members', 'ghost'), ('signing/key-1/members', 'ghost')) AS r (kind, key)";
    test.postgres.admin(year).await;
    let duration = Duration::from_secs(3);
    assert!(test.ledger.keys().signers().await.unwrap().is_empty());
    let view = test.ledger.leases().view("relay", duration).await.unwrap();
    assert_eq!((view.members.len(), view.owned.len()), (0, 0));

    // A keeper takes all leases, with a higher epoch, and the member is deleted.
    let mut member = Member::start(&test, "alive", keys(4));
    member.holds(4).await;
    assert_eq!(member.held["0"].epoch(), 8);
    let ghosts = "SELECT count(*) FROM sealbus.leases WHERE kind = 'relay/members' AND key = 'ghost'";
    assert_eq!(test.postgres.count(ghosts).await, 0);
}

#[tokio::test]
async fn the_owner_of_a_lease_keeps_it_when_the_clock_is_set_back() {
    let test = TestLedger::start().await;
    let leases = test.ledger.leases();
    let duration = Duration::from_secs(3);
    leases.take("relay", &keys(1), "a", duration).await.unwrap();
    test.postgres.admin("UPDATE sealbus.leases SET expires_at = expires_at + interval '1 hour'").await;
    assert_eq!(leases.renew("relay", "a", duration).await.unwrap().grants.len(), 1);
    assert_eq!(leases.take("relay", &keys(1), "b", duration).await.unwrap(), [], "a renewed lease was taken");
}
