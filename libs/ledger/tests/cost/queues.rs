//! The statements that look for work cost in proportion to the work that they find, and statements on queues keep to their indexes
//! even if they were planned while the queue was empty.

use std::collections::HashSet;
use std::time::Duration;

use sealbus_core::names::Subscription;
use sealbus_ledger::delivery::positions::Retention;
use sealbus_ledger::delivery::subscriptions::Start;

use crate::tables::Tables;

/// Creates the subscription `audit` from the beginning, and returns its number.
async fn subscribe(tables: &Tables) -> i64 {
    let audit = Subscription::parse("audit").unwrap();
    tables.ledger.subscriptions().find_or_create(&audit, Start::Beginning).await.unwrap().subscription_no
}

/// Adds 20,000 plans, each with a position of the subscription in this state. `next_at` is an SQL expression of the plan `p`.
async fn add_positions(tables: &Tables, subscription_no: i64, state: &str, next_at: &str) {
    tables.add_plans("acme", "'order-' || n", 20_000).await;
    tables
        .sql(&format!(
            "INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, state, next_at, epoch)
             SELECT {subscription_no}, p.plan_no, 1, sha256(''), '{state}', {next_at}, 1 FROM sealbus.plans p WHERE p.tenant = 'acme'"
        ))
        .await;
}

#[tokio::test]
async fn due_positions_are_found_without_those_of_other_partitions_and_those_that_are_not_due() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    // In partition 3 ten are due, the others later. In the other partitions all are due, most of them earlier.
    let next_at = "now() + CASE WHEN p.partition <> 3 THEN interval '-1 day' WHEN p.plan_no % 400 = 4 THEN interval '-1 hour' ELSE interval '1 day' END";
    add_positions(&tables, audit, "parked", next_at).await;
    tables.sql("ANALYZE").await;
    let (due, rows) = tables.cost(tables.ledger.positions().due(&[(audit, 3)], 100)).await;
    let due = due.unwrap();
    assert!(due.len() > 5 && due.len() < 100 && due.iter().all(|plan| plan.partition == 3), "{}", due.len());
    assert!(rows < 4 * 100, "{rows} rows were read for {} due positions", due.len());
    let (due, rows) = tables.cost(tables.ledger.positions().due(&[(audit, 4), (audit, 5)], 100)).await;
    assert_eq!(due.unwrap().len(), 100);
    assert!(rows < 6 * 100, "{rows} rows were read for 100 of 5,000 due positions");
}

#[tokio::test]
async fn a_position_has_its_partition_when_it_is_not_live_any_more() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    add_positions(&tables, audit, "live", "NULL").await;
    tables.sql("UPDATE sealbus.positions SET state = 'behind', next_at = now() WHERE plan_no % 1000 = 7").await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (audit, partition)).collect();
    assert_eq!(tables.ledger.positions().due(&held, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn pruning_examines_each_position_once() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    add_positions(&tables, audit, "live", "NULL").await;
    // A tenth of the positions can be pruned: their plans have one event, which is sealed below the floor and was applied.
    tables
        .sql(
            "UPDATE sealbus.floors SET floor = 1000000;
             INSERT INTO sealbus.events SELECT p.plan_no, 1, 'acme', gen_random_uuid(), 't', 1, now(), now(), '', '', '', '', 1, 2, '', '',
                 '', '', sha256(p.plan_no::text::bytea), '', '', '', '{}', '{}' FROM sealbus.plans p WHERE p.tenant = 'acme' AND p.plan_no % 10 = 0;
             INSERT INTO sealbus.log_leaves SELECT d.log_id, e.plan_no, e.plan_no, 1, p.partition, e.event_hash
             FROM sealbus.events e JOIN sealbus.plans p USING (plan_no), sealbus.deployment d WHERE e.tenant = 'acme';
             UPDATE sealbus.positions pos SET next_seq = 2, last_hash = e.event_hash, moved_at = now() - interval '1 year'
             FROM sealbus.events e WHERE e.plan_no = pos.plan_no;
             ANALYZE",
        )
        .await;
    let retention = Retention { idle_positions: Duration::from_hours(24), attempts: Duration::from_hours(24) };
    let whole = async {
        let (mut total, mut after) = (0, Some(0));
        while let Some(plan_no) = after {
            let (pruned, next) = tables.ledger.positions().prune(audit, plan_no, &retention, 500).await.unwrap();
            (total, after) = (total + pruned, next);
        }
        total
    };
    let (pruned, rows) = tables.cost(whole).await;
    assert_eq!(pruned, 2_000);
    // For each position: the row itself, and the attempts of its plan. For those that are at rest: plan, floor, leaf, event, deletion.
    assert!(rows < 3 * 20_000, "{rows} rows were read to prune 2,000 of 20,000 positions");
}

#[tokio::test]
async fn the_state_of_the_sweep_and_of_sealing_is_read_from_few_rows() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    let long = tables.add_plan("acme", "long", 20_000, "'test.happened'", "'{}'").await;
    tables.seal(long).await;
    tables.sql(&format!("INSERT INTO sealbus.seal_queue (plan_no, seq) SELECT {long}, n FROM generate_series(1, 20000) n; ANALYZE")).await;
    let (ages, rows) = tables.cost(tables.ledger.floors().ages(&[audit])).await;
    assert_eq!(ages.unwrap().len(), 1);
    assert!(rows < 50, "{rows} rows were read for the age of the oldest leaf above the floors");
    let (age, rows) = tables.cost(tables.ledger.log().oldest_unsealed()).await;
    assert!(age.unwrap() > 0.0);
    assert!(rows < 10, "{rows} rows were read for the age of the oldest event in the seal queue");
}

/// A statement that is planned for an empty table keeps its plan for as long as the table is not analyzed.
#[tokio::test]
async fn statements_that_were_planned_for_empty_queues_use_their_indexes_when_the_queues_are_full() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    let long = tables.add_plan("acme", "long", 20_000, "'test.happened'", "'{}'").await;
    tables.sql("DELETE FROM sealbus.outbox; DELETE FROM sealbus.seal_queue").await;
    tables.sql("VACUUM ANALYZE sealbus.outbox").await;
    tables.sql("VACUUM ANALYZE sealbus.seal_queue").await;
    tables.sql("VACUUM ANALYZE sealbus.positions").await;
    let ledger = &tables.ledger;
    let held = [(audit, 1), (audit, 2)];
    // The sixth execution of a prepared statement can use the plan that is kept.
    for _ in 0..8 {
        assert!(ledger.outbox().page(1, 0, 100).await.unwrap().is_empty());
        assert!(ledger.outbox().of_plans(&[("acme", "long")], 10).await.unwrap().is_empty());
        assert!(ledger.positions().due(&held, 100).await.unwrap().is_empty());
        assert_eq!(ledger.log().oldest_unsealed().await.unwrap().to_bits(), 0.0_f64.to_bits());
        assert_eq!(ledger.log().seal_batch(100, &HashSet::new(), None).await.unwrap().leaves, 0);
    }
    tables
        .sql(&format!(
            "INSERT INTO sealbus.outbox (partition, plan_no, seq) SELECT 1, {long}, n FROM generate_series(1, 20000) n;
             INSERT INTO sealbus.seal_queue (plan_no, seq) SELECT {long}, n FROM generate_series(1, 20000) n"
        ))
        .await;
    add_positions(&tables, audit, "parked", "now() - interval '1 hour'").await;
    let (page, rows) = tables.cost(ledger.outbox().page(1, 0, 100)).await;
    assert_eq!(page.unwrap().len(), 100);
    assert!(rows < 500, "{rows} rows were read for a page of the outbox");
    let (lowest, rows) = tables.cost(ledger.outbox().of_plans(&[("acme", "long")], 10)).await;
    assert_eq!(lowest.unwrap().len(), 10);
    assert!(rows < 100, "{rows} rows were read for the lowest rows of a plan");
    let (due, rows) = tables.cost(ledger.positions().due(&held, 100)).await;
    assert_eq!(due.unwrap().len(), 100);
    assert!(rows < 600, "{rows} rows were read for due positions");
    let (_, rows) = tables.cost(ledger.log().oldest_unsealed()).await;
    assert!(rows < 10, "{rows} rows were read for the oldest row of the seal queue");
    // The stored events are not valid, so that their plan is stopped. What counts is how many rows are read for a batch of 100.
    let (sealed, rows) = tables.cost(ledger.log().seal_batch(100, &HashSet::new(), None)).await;
    assert_eq!(sealed.unwrap().stopped.len(), 1);
    assert!(rows < 1_000, "{rows} rows were read for a batch of the sealer");
}
