//! `sealbus forks`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_testkit::{eventually, eventually_eq};
use serde_json::Value;

use crate::support::{Bus, client, load};

/// A database that lost its newest events, as after a failover, gives their places to others. The subscription that applied
/// them stops until an operator settles the fork.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_listed_shown_and_settled() {
    let bus = Bus::start().await;
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "dispatcher"] {
        roles.push(bus.role(name).await);
    }
    load(&client(&roles), 1, 5).await;
    let next_seq = "SELECT coalesce(max(next_seq), 0) FROM sealbus.positions JOIN sealbus.plans USING (plan_no) WHERE plan = 'plan-0'";
    eventually_eq("the seq to apply next", 6, async || bus.count(next_seq).await).await;

    // The database loses events 4 and 5, and a new event 4 is published.
    for table in ["events", "outbox", "seal_queue"] {
        let lose = format!(
            "SET session_replication_role = replica; DELETE FROM sealbus.{table} lost USING sealbus.plans p
                WHERE p.plan = 'plan-0' AND lost.plan_no = p.plan_no AND lost.seq > 3"
        );
        bus.postgres.admin(&lose).await;
    }
    load(&client(&roles), 1, 1).await;

    // The plan is listed among those that wait for an operator.
    let list = async |command: &str| {
        let (status, printed) = bus.run(&[command, "list", "-o", "json"]).await;
        assert_eq!(status, 0, "{printed}");
        printed
    };
    eventually("the fork is listed", async || list("forks").await.contains(r#""state":"fork""#)).await;
    assert!(list("dead-letters").await.contains(r#""state":"fork""#));

    // It is shown with what was applied and what the ledger has.
    let (status, printed) = bus.run(&["forks", "show", "audit-storage", "plan-0"]).await;
    assert_eq!(status, 0, "{printed}");
    let shown: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&shown["applied"]["seq"], &shown["head"]), (&5.into(), &4.into()));
    let seqs: Vec<u64> =
        shown["ledger"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    // Its times have the same name as in an event.
    assert!(shown["ledger"][3]["recorded_at"].is_string(), "{shown}");

    // Only an event of the ledger can be named. The plan goes on after it, and the decision is recorded.
    let settle = async |applied: &str| {
        bus.run(&["forks", "settle", "audit-storage", "plan-0", "--applied", applied, "--reason", "a test"]).await
    };
    let (status, printed) = settle("9").await;
    assert!(status == 1 && printed.contains("the ledger has no event 9"), "{status} {printed}");
    let (status, printed) = settle("3").await;
    assert_eq!(status, 0, "{printed}");
    eventually_eq("the seq to apply next", 5, async || bus.count(next_seq).await).await;
    eventually_eq("the forks", "[]".to_owned(), async || list("forks").await.trim().to_owned()).await;
    let recorded =
        "SELECT count(*) FROM sealbus.events WHERE type = 'delivery.fork_settled' AND payload ->> 'seq' = '3'";
    assert_eq!(bus.count(recorded).await, 1);
}
