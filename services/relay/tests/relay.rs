//! Relays on a real ledger and broker: order, duplicates, takeover, and failures on either side.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy};
use sealbus_broker::EventMessage;
use sealbus_broker::topology::EVENTS;
use sealbus_core::partition::PlanKey;
use sealbus_relay::Config;
use sealbus_testkit::{Postgres, eventually, eventually_eq};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{DISABLED, Relay, World, append, config, in_order, load};

async fn jetstream(world: &World) -> jetstream::Context {
    jetstream::new(world.nats.client().await)
}

/// Waits until a relay owns all partitions, and its first outbox scan has emptied the outbox.
async fn first_scan_is_done(world: &World, relay: &Relay) {
    eventually("the relay owns all partitions", async || relay.metrics.partitions_owned.get() == 8).await;
    world.outbox_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_every_partition_keep_the_order() {
    let world = World::start().await;

    // Relays with different kinds of leases do not know of each other, like a paused process that still acts on its lease.
    let first = world.relay_with(Config { lease_kind: "one".into(), ..config("a") }).await;
    let second = world.relay_with(Config { lease_kind: "two".into(), ..config("b") }).await;
    load(&[world.hinting_appender().await, world.hinting_appender().await], 40, 25).await;
    world.outbox_is_empty().await;

    // The stream has each event once. The ledger's first event belongs to the plan of signing keys.
    assert_eq!(world.seqs().await, in_order(40, 25));
    let acknowledged = first.metrics.acknowledged.get() + second.metrics.acknowledged.get();
    assert_eq!(acknowledged, 40 * 25 + 1);
    assert_eq!(first.metrics.phantoms.get() + second.metrics.phantoms.get(), 0);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_relayed_by_hints_alone() {
    let world = World::start().await;

    // Disable outbox scans after the first one.
    let relay = world.relay_with(Config { scan_interval: DISABLED, full_scan_interval: DISABLED, ..config("a") }).await;
    first_scan_is_done(&world, &relay).await;

    // Hints that are sent before the relay has subscribed are lost, so append events until one arrives.
    let appender = world.hinting_appender().await;
    let before = relay.metrics.acknowledged.get();
    let mut plans = 0;
    eventually("a hint arrives", async || {
        plans += 1;
        append(&appender, &format!("first-{plans}"), 1).await;
        relay.metrics.acknowledged.get() > before
    })
    .await;

    // All events that are appended after the relay has subscribed arrive.
    append(&appender, "order-1", 20).await;
    for _ in 0..20 {
        append(&appender, "order-1", 1).await;
    }
    let expected: Vec<u64> = (1..=40).collect();
    eventually_eq("the relayed events of order-1", Some(expected), async || world.seqs().await.remove("order-1")).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_crashed_relay_are_taken_over() {
    let world = World::start().await;
    let crashed = world.relay("crashed").await;
    eventually("the relay owns all partitions", async || crashed.metrics.partitions_owned.get() == 8).await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;

    // Crash the relay, append more, and start another one.
    crashed.kill().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    let successor = world.relay("successor").await;
    world.outbox_is_empty().await;
    eventually_eq("the partitions of the successor", 8, async || successor.metrics.partitions_owned.get()).await;
    assert_eq!(world.seqs().await, in_order(10, 10));
    successor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_divide_the_partitions_and_one_that_stops_gives_its_own_back() {
    let world = World::start().await;

    // Leases last longer than the test, so a partition that changes its owner was given back.
    let long_lease = |owner| Config { lease_duration: DISABLED, ..config(owner) };
    let first = world.relay_with(long_lease("a")).await;
    let second = world.relay_with(long_lease("b")).await;
    let owned = async || (first.metrics.partitions_owned.get(), second.metrics.partitions_owned.get());
    eventually_eq("the partitions of both relays", (4, 4), owned).await;
    first.stop().await;
    eventually_eq("the partitions of the second relay", 8, async || second.metrics.partitions_owned.get()).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_that_no_relay_owns_are_counted() {
    let world = World::start().await;
    // Nobody can take the lease of partition 0.
    let refuse = "CREATE FUNCTION sealbus.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER skip BEFORE INSERT OR UPDATE ON sealbus.leases FOR EACH ROW
        WHEN (NEW.kind = 'relay' AND NEW.key = '0') EXECUTE FUNCTION sealbus.skip()";
    world.postgres.admin(refuse).await;
    let relay = world.relay("a").await;
    eventually_eq("the partitions of the relay", 7, async || relay.metrics.partitions_owned.get()).await;
    eventually_eq("the partitions without an owner", 1, async || relay.metrics.partitions_unowned.get()).await;

    world.postgres.admin("DROP TRIGGER skip ON sealbus.leases").await;
    eventually_eq("the partitions without an owner", 0, async || relay.metrics.partitions_unowned.get()).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_when_the_broker_crashes() {
    let mut world = World::start().await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    let loading = tokio::spawn(async move { load(&[appender], 20, 30).await });

    // Crash the broker twice while events are relayed.
    for _ in 0..2 {
        let before = relay.metrics.acknowledged.get();
        eventually("events are relayed", async || {
            relay.metrics.acknowledged.get() > before + 50 || loading.is_finished()
        })
        .await;
        world.nats.kill().await;
        world.nats.restart().await;
    }
    loading.await.unwrap();
    world.outbox_is_empty().await;

    // The stream has every event. Events whose acknowledgement was lost may be there twice.
    let seqs = world.seqs().await;
    for (plan, seqs) in &seqs {
        let mut distinct = seqs.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct, (1..=30).collect::<Vec<_>>(), "{plan}");
    }
    assert_eq!(seqs.len(), 20);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_when_the_ledger_crashes() {
    let mut world = World::on(Postgres::own_cluster().await).await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    world.postgres.kill().await;
    world.postgres.restart().await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    world.outbox_is_empty().await;
    assert_eq!(world.seqs().await, in_order(10, 10));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_stream_has_already_is_deleted_from_the_outbox() {
    let world = World::start().await;

    // Publish the events to the stream without a relay.
    let broker = world.connect_with_streams().await;
    let appender = world.appender().await;
    for record in append(&appender, "order-0", 10).await {
        broker.publish(EventMessage::encode(&record, 8).unwrap()).await.unwrap().acknowledged().await.unwrap();
    }

    // The relay publishes them again, and the stream drops the duplicates.
    let relay = world.relay("a").await;
    world.outbox_is_empty().await;
    assert_eq!(world.seqs().await, in_order(1, 10));
    assert_eq!((relay.metrics.duplicates.get(), relay.metrics.acknowledged.get()), (10, 1));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_pauses_the_partition_and_gets_the_events_when_it_has_space() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    eventually("the first event is relayed", async || relay.metrics.acknowledged.get() == 1).await;

    // Limit the stream to eleven messages, one of which it has.
    let stream = jetstream(&world).await;
    let original = stream.get_stream(EVENTS).await.unwrap().cached_info().config.clone();
    let limited = StreamConfig { discard: DiscardPolicy::New, max_messages: 11, ..original.clone() };
    stream.update_stream(&limited).await.unwrap();

    // Ten events fit. The others stay in the outbox, and publishing continues.
    let appender = world.appender().await;
    append(&appender, "order-0", 30).await;
    eventually_eq("the number of rows in the outbox", 20, async || world.outbox_rows().await).await;
    append(&appender, "order-0", 10).await;
    assert_eq!(world.outbox_rows().await, 30);

    // Remove the limit. All events arrive.
    stream.update_stream(&original).await.unwrap();
    world.outbox_is_empty().await;
    let mut seqs = world.seqs().await;
    let order = seqs.get_mut("order-0").unwrap();
    assert_eq!(order[..10], (1..=10).collect::<Vec<_>>());
    // If the limit was removed in the middle of a window, the stream took a later event before those that it had refused.
    order.sort_unstable();
    assert_eq!(seqs, in_order(1, 40));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_created_again() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    append(&appender, "order-0", 5).await;
    world.outbox_is_empty().await;

    // Delete the stream. The new one gets the later events only: consumers read the earlier ones from the ledger.
    jetstream(&world).await.delete_stream(EVENTS).await.unwrap();
    append(&appender, "order-0", 5).await;
    world.outbox_is_empty().await;
    assert_eq!(world.seqs().await["order-0"], (6..=10).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_commits_late_is_found_above_the_low_water_bound() {
    let world = World::start().await;

    // Append an event, and delete its row.
    let appender = world.appender().await;
    let late = append(&appender, "late-1", 1).await.remove(0);
    let partition = PlanKey::of("acme", "late-1").partition(8);
    let plan_no = world.query_number("SELECT plan_no FROM sealbus.plans WHERE plan = 'late-1'").await;
    world.postgres.admin("DELETE FROM sealbus.outbox WHERE plan_no > 1").await;

    // Insert the row again in a transaction that stays open.
    let mut connection = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let insert = format!("INSERT INTO sealbus.outbox (partition, plan_no, seq) VALUES ({partition}, {plan_no}, 1)");
    sqlx::query(AssertSqlSafe(insert)).execute(&mut *transaction).await.unwrap();

    // Relay rows with higher ids. There is no hint, and no full outbox scan after the first one.
    let relay = world.relay_with(Config { full_scan_interval: DISABLED, ..config("a") }).await;
    let plan = plan_in(partition);
    for _ in 0..20 {
        let deleted = relay.metrics.deleted_rows.get();
        append(&appender, &plan, 1).await;
        eventually("a row with a higher id is deleted", async || relay.metrics.deleted_rows.get() > deleted).await;
    }

    // Commit the row. An outbox scan above the bound finds it.
    transaction.commit().await.unwrap();
    world.outbox_is_empty().await;
    assert!(world.stream().await.contains(&late), "the row that committed late was not relayed");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_below_the_low_water_bound_is_found_by_the_full_outbox_scan() {
    let world = World::start().await;
    let appender = world.appender().await;
    let relay = world.relay("a").await;

    // Raise the bound.
    let partition = PlanKey::of("acme", "order-0").partition(8);
    for _ in 0..10 {
        let deleted = relay.metrics.deleted_rows.get();
        append(&appender, "order-0", 1).await;
        eventually("the row is deleted", async || relay.metrics.deleted_rows.get() > deleted).await;
    }
    world.outbox_is_empty().await;

    let sent = relay.metrics.duplicates.get() + relay.metrics.acknowledged.get();

    // Insert a row with a lower id, as after a failover, when some ids are drawn again.
    let insert = format!(
        "INSERT INTO sealbus.outbox (id, partition, plan_no, seq) OVERRIDING SYSTEM VALUE
         SELECT -1, {partition}, plan_no, 1 FROM sealbus.plans WHERE plan = 'order-0'"
    );
    world.postgres.admin(&insert).await;
    world.outbox_is_empty().await;
    assert_eq!(relay.metrics.duplicates.get() + relay.metrics.acknowledged.get(), sent + 1, "the row was not relayed");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_do_not_pass_the_deleted_rows_of_a_busy_plan_while_a_snapshot_keeps_them() {
    let world = World::start().await;
    let relay = world.relay_with(Config { full_scan_interval: DISABLED, ..config("a") }).await;
    first_scan_is_done(&world, &relay).await;

    // Relay two thousand events of a plan while a transaction elsewhere keeps their deleted rows.
    let mut snapshot = PgConnection::connect(&world.postgres.admin_url()).await.unwrap();
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sealbus.events";
    sqlx::raw_sql(begin).execute(&mut snapshot).await.unwrap();
    let appender = world.appender().await;
    for _ in 0..20 {
        append(&appender, "order-0", 100).await;
        world.outbox_is_empty().await;
    }

    // Relay more by scans alone, and wait until Postgres has counted what that took.
    let counter = |name: &str| {
        format!("SELECT {name} FROM pg_stat_all_indexes WHERE indexrelid = 'sealbus.outbox_plan_no_seq_key'::regclass")
    };
    let (scans, entries) = (counter("idx_scan"), counter("idx_tup_read"));
    let reset = "SELECT pg_stat_reset_single_table_counters('sealbus.outbox_plan_no_seq_key'::regclass)";
    world.postgres.admin(reset).await;
    eventually("twenty look-ups of the plan are counted", async || {
        append(&appender, "order-0", 1).await;
        world.outbox_is_empty().await;
        world.query_number(&scans).await >= 20
    })
    .await;
    let (scans, entries) = (world.query_number(&scans).await, world.query_number(&entries).await);
    assert!(entries < 200 * scans, "{scans} look-ups passed {entries} index entries");
    snapshot.close().await.unwrap();
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_event_holds_its_own_plan_back_until_it_is_restored() {
    let world = World::start().await;
    let appender = world.hinting_appender().await;
    let partition = PlanKey::of("acme", "order-0").partition(8);
    let other = plan_in(partition);

    // Change an event of a plan before a relay has read it.
    append(&appender, "order-0", 3).await;
    let set_actor = |actor: &str| {
        format!(
            "SET session_replication_role = replica;
             UPDATE sealbus.events e SET actor = '{actor}' FROM sealbus.plans p WHERE p.plan_no = e.plan_no AND p.plan = 'order-0' AND e.seq = 2"
        )
    };
    world.postgres.admin(&set_actor("mallory")).await;
    let relay = world.relay_with(Config { page_rows: 20, ..config("a") }).await;
    eventually("the plan is held back", async || {
        relay.metrics.blocked_plans.get() > 0 && world.outbox_rows().await == 2
    })
    .await;
    eventually_eq("the number of plans held back now", 1, async || relay.metrics.blocked_now.get()).await;

    // Hint more events of the plan than fit into memory. Another plan of the partition is still relayed.
    for _ in 0..5 {
        append(&appender, "order-0", 20).await;
        append(&appender, &other, 20).await;
    }
    eventually_eq("the number of rows in the outbox", 102, async || world.outbox_rows().await).await;

    // Restore the event. The plan continues.
    world.postgres.admin(&set_actor("tester")).await;
    world.outbox_is_empty().await;
    let seqs = world.seqs().await;
    assert_eq!(seqs["order-0"], (1..=103).collect::<Vec<_>>());
    assert_eq!(seqs[&other], (1..=100).collect::<Vec<_>>());
    eventually_eq("the number of plans held back now", 0, async || relay.metrics.blocked_now.get()).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_predecessors_of_a_hinted_event_are_read_in_several_scans() {
    let world = World::start().await;
    let config = Config { page_rows: 30, scan_interval: DISABLED, full_scan_interval: DISABLED, ..config("a") };
    let relay = world.relay_with(config).await;
    first_scan_is_done(&world, &relay).await;

    // Append 300 events without hints. No outbox scan finds them.
    let silent = world.appender().await;
    append(&silent, "order-0", 300).await;

    // A hint of a later event makes the relay read its predecessors.
    let appender = world.hinting_appender().await;
    let mut events = 300;
    eventually("more than 300 events are relayed", async || {
        append(&appender, "order-0", 1).await;
        events += 1;
        relay.metrics.acknowledged.get() > 300
    })
    .await;
    let expected: Vec<u64> = (1..=events).collect();
    eventually_eq("the relayed events of order-0", Some(expected), async || world.seqs().await.remove("order-0")).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_page_and_memory_is_relayed_in_order() {
    let world = World::start().await;
    let appender = world.appender().await;
    for _ in 0..4 {
        append(&appender, "order-0", 500).await;
        append(&appender, "order-1", 500).await;
    }
    let config = Config { page_rows: 60, max_memory_bytes: 20_000, scan_interval: DISABLED, ..config("a") };
    let relay = world.relay_with(config).await;
    world.outbox_is_empty().await;
    assert_eq!(world.seqs().await, in_order(2, 2_000));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_outbox_is_locked_loses_its_leases_and_stops() {
    let world = World::start().await;
    let config = Config { drain_timeout: Duration::from_millis(50), ..config("a") };
    let relay = world.relay_with(config).await;
    first_scan_is_done(&world, &relay).await;

    // Lock the outbox until a measurement of it waits for the lock.
    let mut lock = PgConnection::connect(&world.postgres.admin_url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE sealbus.outbox IN ACCESS EXCLUSIVE MODE").execute(&mut lock).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND query LIKE '%outbox_depth%'";
    eventually_eq("the waiting measurements", 1, async || world.query_number(waiting).await).await;

    // Give the leases to another owner. The relay notices, and it can be stopped.
    let steal = "UPDATE sealbus.leases SET holder = 'b', epoch = epoch + 1 WHERE kind = 'relay'";
    world.postgres.admin(steal).await;
    eventually_eq("the partitions of the relay", 0, async || relay.metrics.partitions_owned.get()).await;
    relay.stop().await;
    lock.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_records_what_the_stream_holds() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.outbox_is_empty().await;
    let records = append(&world.appender().await, "order-0", 3).await;
    world.outbox_is_empty().await;
    let last = records[2].event_hash;
    let beacons = format!(
        "SELECT count(*) FROM sealbus.beacons WHERE stream = '{EVENTS}' AND stream_seq = 4 AND msg_id = '{last}'"
    );
    eventually_eq("the number of beacons of the last event", 1, async || world.query_number(&beacons).await).await;
    relay.stop().await;
}

/// Returns the name of a plan in this partition.
fn plan_in(partition: u32) -> String {
    let mut names = (0..1_000).map(|n| format!("other-{n}"));
    names.find(|plan| PlanKey::of("acme", plan).partition(8) == partition).unwrap()
}
