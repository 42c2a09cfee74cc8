//! The outbox: which rows a relay reads, which rows it may delete, and when the low-water bound may advance.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_core::partition::PlanKey;
use sealbus_core::timestamp::Timestamp;
use sealbus_ledger::append::Appender;
use sealbus_ledger::outbox::{Acknowledged, Beacon, OutboxRow, Unsendable};
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::call;
use sqlx::{Connection, PgConnection};

/// Appends `count` events to a plan of tenant `acme` in one call.
async fn append(appender: &Appender, plan: &str, count: u64) -> Vec<Record> {
    let events = (1..=count).map(draft).collect();
    let stored = appender.append(call("acme", plan, events)).await.unwrap();
    stored.into_iter().map(|one| (*one.record).clone()).collect()
}

fn partition(plan: &str) -> u32 {
    PlanKey::of("acme", plan).partition(8)
}

fn seqs(rows: &[OutboxRow]) -> Vec<(u64, u64)> {
    rows.iter().map(|row| (row.seq, row.smallest_seq)).collect()
}

#[tokio::test]
async fn a_page_has_the_smallest_seq_of_each_plan_in_the_whole_outbox() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let records = append(&appender, "order-1", 5).await;
    let partition = partition("order-1");
    let all = test.ledger.outbox().page(partition, 0, 100, &[]).await.unwrap();
    assert_eq!(seqs(&all), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    // The smallest seq is that of the whole outbox, even if its row is below the bound of the page.
    let page = test.ledger.outbox().page(partition, all[2].id, 2, &[]).await.unwrap();
    assert_eq!(seqs(&page), [(3, 1), (4, 1)]);

    let acknowledged = [Acknowledged { id: all[0].id, record: &records[0] }];
    assert_eq!(test.ledger.outbox().delete_acknowledged(&acknowledged).await.unwrap(), [all[0].id]);
    assert_eq!(seqs(&test.ledger.outbox().page(partition, all[2].id, 2, &[]).await.unwrap()), [(3, 2), (4, 2)]);
    assert_eq!(
        test.ledger
            .outbox()
            .page((partition + 1) % 8, 0, 100, &[])
            .await
            .unwrap()
            .iter()
            .filter(|row| row.plan_no > 1)
            .count(),
        0
    );
}

#[tokio::test]
async fn rows_are_found_by_the_name_of_their_plan() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    append(&appender, "order-1", 3).await;
    append(&appender, "order-2", 1).await;
    let asked = [("acme", "order-2", 1), ("acme", "nobody", 1), ("globex", "order-1", 1), ("acme", "order-1", 1)];
    let rows = test.ledger.outbox().of_plans(&asked, 2).await.unwrap();
    let found: Vec<_> = rows.iter().map(|(at, row)| (*at, row.seq, row.smallest_seq)).collect();
    assert_eq!(
        found,
        [(0, 1, 1), (3, 1, 1), (3, 2, 1)],
        "expected at most two rows per plan, and none of unknown plans"
    );
}

#[tokio::test]
async fn events_are_read_up_to_the_size_limit() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let records = append(&appender, "order-1", 4).await;
    let rows = test.ledger.outbox().page(partition("order-1"), 0, 100, &[]).await.unwrap();
    let events = test.ledger.outbox().events(&rows, 1 << 20).await.unwrap();
    assert_eq!(events.iter().map(|(row, _)| *row).collect::<Vec<_>>(), rows);
    assert_eq!(events.into_iter().map(|(_, event)| event.unwrap()).collect::<Vec<_>>(), records);
    assert_eq!(
        test.ledger.outbox().events(&rows, 0).await.unwrap().len(),
        1,
        "the size limit excluded the first event"
    );
    let two = u64::from(records[0].header.payload_size) + 20;
    assert!(
        (2..4).contains(&test.ledger.outbox().events(&rows, two).await.unwrap().len()),
        "the number of events does not match the size limit"
    );
}

#[tokio::test]
async fn a_missing_event_and_an_invalid_event_are_different_errors() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    append(&appender, "order-1", 3).await;
    let rows = test.ledger.outbox().page(partition("order-1"), 0, 100, &[]).await.unwrap();
    let delete = "SET session_replication_role = replica; DELETE FROM sealbus.events WHERE tenant = 'acme' AND seq = 2";
    test.postgres.admin(delete).await;
    let spoil = "SET session_replication_role = replica; UPDATE sealbus.events SET prev = 'short' WHERE tenant = 'acme' AND seq = 3";
    test.postgres.admin(spoil).await;
    let events = test.ledger.outbox().events(&rows, 1 << 20).await.unwrap();
    assert!(events[0].1.is_ok());
    assert!(matches!(events[1].1, Err(Unsendable::Missing)));
    assert!(matches!(events[2].1, Err(Unsendable::Unreadable(_))));
}

#[tokio::test]
async fn a_row_that_names_another_event_is_not_deleted() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let first = append(&appender, "order-1", 1).await.remove(0);
    let second = append(&appender, "order-2", 1).await.remove(0);
    let ids = async |plan: &str| test.ledger.outbox().page(partition(plan), 0, 100, &[]).await.unwrap();
    let (id, other) = (ids("order-1").await[0].id, ids("order-2").await.last().unwrap().id);
    // A row whose event is not the acknowledged one is kept. After a failover, another event can have the row id.
    let swapped = [Acknowledged { id: other, record: &first }];
    assert_eq!(test.ledger.outbox().delete_acknowledged(&swapped).await.unwrap(), [] as [i64; 0]);
    assert_eq!(ids("order-2").await.last().unwrap().id, other);

    // Rows that match their acknowledged events are deleted, and a second call deletes nothing.
    let both = [Acknowledged { id, record: &first }, Acknowledged { id: other, record: &second }];
    let mut deleted = test.ledger.outbox().delete_acknowledged(&both).await.unwrap();
    deleted.sort_unstable();
    assert_eq!(deleted, [id, other]);
    assert_eq!(
        test.ledger.outbox().delete_acknowledged(&both).await.unwrap(),
        [] as [i64; 0],
        "a deleted row was deleted again"
    );
}

#[tokio::test]
async fn an_event_that_the_ledger_lacks_is_a_phantom() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let known = append(&appender, "order-1", 1).await.remove(0);
    let mut other_hash = known.clone();
    other_hash.event_hash = known.header.prev;
    let mut other_seq = known.clone();
    other_seq.header.seq = 2;
    let mut other_plan = known.clone();
    other_plan.header.plan = "order-9".to_owned();
    let acknowledged = [&other_hash, &known, &other_seq, &other_plan].map(|record| Acknowledged { id: 1, record });
    let mut phantoms = test.ledger.outbox().phantoms(&acknowledged).await.unwrap();
    phantoms.sort_unstable();
    assert_eq!(phantoms, [0, 2, 3]);
}

#[tokio::test]
async fn a_writer_is_listed_until_its_transaction_has_ended() {
    let test = TestLedger::start().await;
    assert_eq!(test.ledger.outbox().writers().await.unwrap(), [] as [String; 0]);
    let mut connection = PgConnection::connect(&test.postgres.url()).await.unwrap();
    let mut late = connection.begin().await.unwrap();
    let insert = "INSERT INTO sealbus.outbox (partition, plan_no, seq) VALUES (3, 999, 1) RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).fetch_one(&mut *late).await.unwrap();
    let writers = test.ledger.outbox().writers().await.unwrap();
    assert_eq!(writers.len(), 1, "{writers:?}");

    // A later writer that has committed and a transaction that only reads are not listed.
    let mut connection = PgConnection::connect(&test.postgres.url()).await.unwrap();
    let mut reader = connection.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM sealbus.outbox").fetch_one(&mut *reader).await.unwrap();
    append(&test.appender().await, "order-1", 1).await;
    assert_eq!(test.ledger.outbox().writers().await.unwrap(), writers);
    assert!(test.ledger.outbox().page(3, 0, 100, &[]).await.unwrap().iter().all(|row| row.id != id));

    late.commit().await.unwrap();
    assert_eq!(test.ledger.outbox().writers().await.unwrap(), [] as [String; 0]);
    assert!(
        test.ledger.outbox().page(3, 0, 100, &[]).await.unwrap().iter().any(|row| row.id == id),
        "the row of the committed writer is missing"
    );
}

#[tokio::test]
async fn the_depth_has_the_number_of_rows_and_the_age_of_the_oldest() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    append(&appender, "order-1", 7).await;
    let depths = test.ledger.outbox().depth(&[(partition("order-1"), 0), (63, 0)]).await.unwrap();
    assert_eq!(depths.len(), 2);
    let busy = depths.iter().find(|depth| depth.partition == partition("order-1")).unwrap();
    assert!(busy.rows >= 7 && busy.oldest_seconds < 60.0, "{busy:?}");
    let idle = depths.iter().find(|depth| depth.partition == 63).unwrap();
    assert!(idle.rows == 0 && idle.oldest_seconds == 0.0, "{idle:?}");
}

#[tokio::test]
async fn recording_a_beacon_deletes_expired_ones() {
    let test = TestLedger::start().await;
    let record = async |stream_seq: u64| {
        let created = Timestamp::parse("2026-11-20T10:00:00Z").unwrap();
        let beacon = Beacon { stream: "S", created, stream_seq, msg_id: "m", oldest_pending: None };
        test.ledger.outbox().record_beacon(&beacon, Duration::from_hours(24)).await.unwrap();
    };
    for stream_seq in 1..=3 {
        record(stream_seq).await;
    }
    test.postgres.admin("UPDATE sealbus.beacons SET at = now() - interval '1 hour' * (20 + stream_seq * 2)").await;
    record(4).await;
    assert_eq!(test.postgres.count("SELECT sum(stream_seq)::bigint FROM sealbus.beacons").await, 1 + 4);
}

#[tokio::test]
async fn partitions_with_rows_are_found_from_their_low_water_bounds_on() {
    let test = TestLedger::start().await;
    append(&test.appender().await, "order-1", 2).await;
    let (busy, idle) = (partition("order-1"), (partition("order-1") + 1) % 8);
    test.postgres.admin("DELETE FROM sealbus.outbox WHERE plan_no = 1").await;
    let newest = test.postgres.count("SELECT max(id) FROM sealbus.outbox").await;
    assert_eq!(test.ledger.outbox().with_rows(&[(idle, 0), (busy, 0)]).await.unwrap(), [busy]);
    assert_eq!(test.ledger.outbox().with_rows(&[(busy, newest)]).await.unwrap(), [busy]);
    assert_eq!(test.ledger.outbox().with_rows(&[(busy, newest + 1)]).await.unwrap(), [] as [u32; 0]);
}
