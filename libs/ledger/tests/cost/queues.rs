//! The statements that look for work cost in proportion to the work that they find, and statements on queues keep to their indexes
//! even if they were planned while the queue was empty.

use std::time::Duration;

use sealbus_core::names::Subscription;
use sealbus_ledger::Ledger;
use sealbus_ledger::delivery::parking::Locked;
use sealbus_ledger::delivery::positions::{PositionState, Retention};
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_ledger::history::PageQuery;
use sealbus_ledger::log::SealingState;
use sealbus_ledger::outbox::Acknowledged;
use sealbus_testkit::ledger::{plan, tenant};

use crate::tables::Tables;

/// Creates the subscription `audit` from the beginning, and returns its number.
async fn subscribe(tables: &Tables) -> i64 {
    let audit = Subscription::parse("audit").unwrap();
    tables.ledger().await.subscriptions().find_or_create(&audit, Start::Beginning).await.unwrap().subscription_no
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
    let (due, rows) = tables.cost(async |ledger| ledger.positions().due(&[(audit, 3)], 100).await).await;
    let due = due.unwrap();
    assert!(due.len() > 5 && due.len() < 100 && due.iter().all(|plan| plan.partition == 3), "{}", due.len());
    assert!(rows < 4 * 100, "{rows} rows were read for {} due positions", due.len());
    let (due, rows) = tables.cost(async |ledger| ledger.positions().due(&[(audit, 4), (audit, 5)], 100).await).await;
    assert_eq!(due.unwrap().len(), 100);
    assert!(rows < 6 * 100, "{rows} rows were read for 100 of 5,000 due positions");
}

#[tokio::test]
async fn at_most_two_thousand_positions_of_a_partition_are_read_to_count_them() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    // About 2,500 positions in each of eight partitions are parked. 20 of them all wait for an operator.
    add_positions(&tables, audit, "parked", "now()").await;
    tables.sql("UPDATE sealbus.positions SET state = 'dead', next_at = NULL WHERE plan_no % 1000 = 7; ANALYZE").await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (audit, partition)).collect();
    let (counts, rows) = tables.cost(async |ledger| ledger.positions().count_by_state(&held).await).await;
    let counts: Vec<_> = counts.unwrap().into_iter().map(|count| (count.state, count.positions)).collect();
    assert!(counts.contains(&(Some(PositionState::Dead), 20)), "{counts:?}");
    assert!(counts.contains(&(Some(PositionState::Parked), 8_000)), "{counts:?}");
    assert!(rows < 2 * 8_020 + 100, "{rows} rows were read");
}

#[tokio::test]
async fn a_position_has_its_partition_when_it_is_not_live_any_more() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    add_positions(&tables, audit, "live", "NULL").await;
    tables.sql("UPDATE sealbus.positions SET state = 'behind', next_at = now() WHERE plan_no % 1000 = 7").await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (audit, partition)).collect();
    assert_eq!(tables.ledger().await.positions().due(&held, 100).await.unwrap().len(), 20);
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
    let whole = async |ledger: &Ledger| {
        let (mut total, mut after) = (0, Some(0));
        while let Some(plan_no) = after {
            let (pruned, next) = ledger.positions().prune(audit, plan_no, &retention, 500).await.unwrap();
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
    tables
        .sql(&format!(
            "INSERT INTO sealbus.seal_queue (plan_no, seq) SELECT {long}, n FROM generate_series(1, 20000) n; ANALYZE"
        ))
        .await;
    let (ages, rows) = tables.cost(async |ledger| ledger.floors().ages(&[audit]).await).await;
    assert_eq!(ages.unwrap().len(), 1);
    assert!(rows < 50, "{rows} rows were read for the age of the oldest leaf above the floors");
    let (age, rows) = tables.cost(async |ledger| ledger.log().oldest_unsealed().await).await;
    assert!(age.unwrap() > 0.0);
    assert!(rows < 10, "{rows} rows were read for the age of the oldest event in the seal queue");
    let (status, rows) = tables.cost(async |ledger| ledger.log().status(0).await).await;
    assert_eq!(status.unwrap().queued, 10_000);
    assert!(rows < 2 * 10_050, "{rows} rows were read to count the events in the seal queue");
}

/// The statistics that a queue can have when a statement is planned. Which ones depends on when autovacuum came by.
const EMPTY_QUEUES: [&str; 3] = [
    "DELETE FROM {queue}; VACUUM ANALYZE {queue}",
    "DELETE FROM {queue}; {one_row}; VACUUM ANALYZE {queue}",
    "DELETE FROM {queue}; {one_row}; VACUUM ANALYZE {queue}; DELETE FROM {queue}; ANALYZE {queue}",
];

/// Calls a statement while the queues are empty, often enough that the session keeps its plan, then fills the queues, and calls it
/// once more. Does so for each state of the statistics. Returns the last result, and the most rows that were read in all.
async fn planned_while_empty<T>(call: impl AsyncFn(&Ledger, i64) -> T) -> (T, i64) {
    let mut most = None;
    for state in EMPTY_QUEUES {
        let (result, rows) = planned_in(state, &call).await;
        if most.as_ref().is_none_or(|(_, before)| rows > *before) {
            most = Some((result, rows));
        }
    }
    most.unwrap()
}

async fn planned_in<T>(state: &str, call: &impl AsyncFn(&Ledger, i64) -> T) -> (T, i64) {
    const ROWS: u32 = 5_000;
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    let long = tables.add_plan("acme", "long", ROWS, "'test.happened'", "'{}'").await;
    tables.add_plans("acme", "'order-' || n", ROWS).await;
    tables.sql("ANALYZE").await;
    let fill = |queue: &str, rows: u32| {
        match queue {
        "outbox" => format!(
            "INSERT INTO sealbus.outbox (partition, plan_no, seq) SELECT 1, {long}, n FROM generate_series(1, {rows}) n"
        ),
        "seal_queue" => {
            format!("INSERT INTO sealbus.seal_queue (plan_no, seq) SELECT {long}, n FROM generate_series(1, {rows}) n")
        }
        "positions" => format!(
            "INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, state, next_at, epoch, partition)
             SELECT {audit}, {long} + n, 2, sha256(''), 'parked', now() - interval '1 hour', 1, 1 FROM generate_series(1, {rows}) n"
        ),
        _ => format!(
            "INSERT INTO sealbus.attempts (subscription_no, plan_no, seq, n, error)
             SELECT {audit}, {long} + n, 2, 1, 'failed' FROM generate_series(1, {rows}) n"
        ),
    }
    };
    let queues = ["outbox", "seal_queue", "positions", "attempts"];
    for queue in queues {
        let state = state.replace("{one_row}", &fill(queue, 1)).replace("{queue}", &format!("sealbus.{queue}"));
        for statement in state.split("; ") {
            tables.sql(statement).await;
        }
    }
    let calls = async |ledger: &Ledger| {
        for _ in 0..8 {
            call(ledger, audit).await;
        }
        for queue in queues {
            tables.sql(&format!("DELETE FROM sealbus.{queue}; {}", fill(queue, ROWS))).await;
        }
        call(ledger, audit).await
    };
    tables.cost(calls).await
}

#[tokio::test]
async fn a_page_of_the_outbox_is_read_by_its_index() {
    let (page, rows) = planned_while_empty(async |ledger, _| ledger.outbox().page(1, 0, 100, &[]).await.unwrap()).await;
    assert_eq!(page.len(), 100);
    assert!(rows < 1_000, "{rows} rows were read for a page of the outbox");
}

#[tokio::test]
async fn the_lowest_rows_of_a_plan_in_the_outbox_are_read_by_their_index() {
    let lowest = async |ledger: &Ledger, _| ledger.outbox().of_plans(&[("acme", "long", 1)], 10).await.unwrap();
    let (rows_of_plan, rows) = planned_while_empty(lowest).await;
    assert_eq!(rows_of_plan.len(), 10);
    assert!(rows < 500, "{rows} rows were read for the lowest rows of a plan");
}

#[tokio::test]
async fn acknowledged_rows_of_the_outbox_are_found_by_their_index() {
    let delete = async |ledger: &Ledger, _| {
        let record = ledger
            .history()
            .page(&tenant("acme"), &plan("long"), &PageQuery { limit: 1, ..PageQuery::default() })
            .await;
        let record = record.unwrap().records.pop().unwrap();
        let ids: Vec<i64> = ledger.outbox().page(1, 0, 1, &[]).await.unwrap().iter().map(|row| row.id).collect();
        let acknowledged: Vec<_> = ids.iter().map(|id| Acknowledged { id: *id, record: &record }).collect();
        ledger.outbox().delete_acknowledged(&acknowledged).await.unwrap().len()
    };
    let (deleted, rows) = planned_while_empty(delete).await;
    assert_eq!(deleted, 1);
    assert!(rows < 1_000, "{rows} rows were read to delete one row");
}

#[tokio::test]
async fn due_positions_are_read_by_their_index() {
    let due = async |ledger: &Ledger, audit| ledger.positions().due(&[(audit, 1), (audit, 2)], 100).await.unwrap();
    let (due, rows) = planned_while_empty(due).await;
    assert_eq!(due.len(), 100);
    assert!(rows < 1_000, "{rows} rows were read for due positions");
}

#[tokio::test]
async fn positions_of_a_few_plans_are_read_by_their_index() {
    let read = async |ledger: &Ledger, audit| ledger.positions().read(audit, &[10, 20, 30]).await.unwrap();
    let (positions, rows) = planned_while_empty(read).await;
    assert_eq!(positions.len(), 3);
    assert!(rows < 1_000, "{rows} rows were read for three positions");
}

/// An update that joins a list of plans with positions is not safe from the two other states. It is planned again when Postgres has
/// analyzed the table, about a minute after it has grown; a table of positions does not become empty again.
#[tokio::test]
async fn attempts_and_seen_seqs_of_a_plan_are_found_by_their_index() {
    let mark = async |ledger: &Ledger, audit| {
        let attempts = ledger.positions().attempts(audit, 10, 2).await.unwrap().len();
        (ledger.positions().mark_seen(audit, &[(10, 7)], Locked::Wait).await.unwrap().len(), attempts)
    };
    let (found, rows) = planned_in(EMPTY_QUEUES[0], &mark).await;
    assert_eq!(found, (1, 1));
    assert!(rows < 500, "{rows} rows were read for one position and its attempts");
}

/// The statements are planned while there are no leaves, and read partitions without leaves beside one with many.
#[tokio::test]
async fn the_leaves_of_other_partitions_are_not_read() {
    let tables = Tables::start().await;
    let audit = subscribe(&tables).await;
    let long = tables.add_plan("acme", "long", 1, "'test.happened'", "'{}'").await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (audit, partition)).collect();
    let read = async |ledger: &Ledger| {
        let floors = ledger.floors();
        let with_leaves =
            floors.read(&held).await.unwrap().into_iter().filter(|floor| floor.as_ref().unwrap().has_leaves);
        let mut leaves = Vec::new();
        for (_, partition) in &held {
            leaves.extend(floors.leaves(*partition, 0, Duration::ZERO, 1).await.unwrap());
        }
        let behind = floors.behind(&[audit], Duration::ZERO).await.unwrap();
        (with_leaves.count(), leaves.len(), behind.len(), floors.ages(&[audit]).await.unwrap().len())
    };
    let calls = async |ledger: &Ledger| {
        for _ in 0..8 {
            assert_eq!(read(ledger).await, (0, 0, 0, 1));
        }
        let log_id = ledger.deployment().log_id;
        tables
            .sql(&format!(
                "INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash)
                 SELECT '{log_id}', n, {long}, n, 1, sha256('') FROM generate_series(1, 20000) n"
            ))
            .await;
        read(ledger).await
    };
    let (found, rows) = tables.cost(calls).await;
    assert_eq!(found, (1, 1, 1, 1));
    assert!(rows < 1_000, "{rows} rows were read for floors and leaves of eight partitions");
}

/// The stored events are not valid, so that their plan is stopped. What counts is the number of rows that are read for a batch.
#[tokio::test]
async fn a_batch_of_the_sealer_is_read_by_its_index() {
    let seal = async |ledger: &Ledger, _| {
        let sealed = ledger.log().seal_batch(100, &mut SealingState::default(), None).await.unwrap();
        (sealed.stopped.len(), ledger.log().oldest_unsealed().await.unwrap() > 0.0)
    };
    let (sealed, rows) = planned_while_empty(seal).await;
    assert_eq!(sealed, (1, true));
    assert!(rows < 1_500, "{rows} rows were read for a batch of the sealer");
}
