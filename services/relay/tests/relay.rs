//! Relays on a real ledger and a real broker: order, loss, takeover, and what goes wrong on either side.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod support;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy};
use sealbus_broker::EventMessage;
use sealbus_broker::topology::EVENTS;
use sealbus_core::event::{Header, Record};
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use sealbus_relay::Config;
use sealbus_testkit::{Postgres, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{NEVER, ORIGIN, World, append, client, config, in_order, load};

async fn context(world: &World) -> jetstream::Context {
    jetstream::new(client(world).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_with_two_relays_on_every_partition() {
    let world = World::start().await;
    // Two groups: neither knows of the other, as with a lease that a paused process takes for its own.
    let first = world.relay_with(Config { group: "one".into(), ..config("a") }).await;
    let second = world.relay_with(Config { group: "two".into(), ..config("b") }).await;
    load(&[world.hinting_appender().await, world.hinting_appender().await], 40, 25).await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await, in_order(40, 25), "each event once, in its plan's order");
    let both = first.metrics.acknowledged.get() + second.metrics.acknowledged.get();
    assert_eq!(both, 40 * 25 + 1, "and the key's own event");
    assert_eq!(first.metrics.phantoms.get() + second.metrics.phantoms.get(), 0);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_alone_bring_events_through() {
    let world = World::start().await;
    let relay = world.relay_with(Config { sweep: NEVER, full_sweep: NEVER, ..config("a") }).await;
    eventually("it has looked once", async || relay.metrics.partitions.get() == 8 && world.owed().await == 0).await;
    // Subscribing takes a moment: what is hinted before waits for a sweep, so the first events are repeated until one is through.
    let appender = world.hinting_appender().await;
    let begun = relay.metrics.acknowledged.get();
    let mut tried = 0;
    eventually("a hint is heard", async || {
        tried += 1;
        append(&appender, &format!("first-{tried}"), 1).await;
        relay.metrics.acknowledged.get() > begun
    })
    .await;
    append(&appender, "order-1", 20).await;
    for _ in 0..20 {
        append(&appender, "order-1", 1).await;
    }
    eventually("all are through", async || world.seqs().await.get("order-1").is_some_and(|seqs| seqs.len() == 40))
        .await;
    assert_eq!(world.seqs().await["order-1"], (1..=40).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_relays_partitions_are_taken_over() {
    let world = World::start().await;
    let dead = world.relay("dead").await;
    eventually("it owns all", async || dead.metrics.partitions.get() == 8).await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    dead.kill().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    let heir = world.relay("heir").await;
    world.nothing_is_owed().await;
    assert_eq!(heir.metrics.partitions.get(), 8);
    assert_eq!(world.seqs().await, in_order(10, 10));
    heir.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_share_and_one_that_stops_gives_back_at_once() {
    let world = World::start().await;
    let slow = |holder| Config { lease: NEVER, ..config(holder) };
    let first = world.relay_with(slow("a")).await;
    let second = world.relay_with(slow("b")).await;
    eventually("they share", async || first.metrics.partitions.get() == 4 && second.metrics.partitions.get() == 4)
        .await;
    first.stop().await;
    // Not by expiry: a lease lasts an hour here.
    eventually("the other has all", async || second.metrics.partitions.get() == 8).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_comes_back_costs_nothing() {
    let mut world = World::start().await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    let loading = tokio::spawn(async move { load(&[appender], 20, 30).await });
    for _ in 0..2 {
        let before = relay.metrics.acknowledged.get();
        eventually("it is under way", async || relay.metrics.acknowledged.get() > before + 50 || loading.is_finished())
            .await;
        world.nats.kill().await;
        world.nats.restart().await;
    }
    loading.await.unwrap();
    world.nothing_is_owed().await;
    let seqs = world.seqs().await;
    for (plan, seqs) in &seqs {
        let mut first_copies = seqs.clone();
        first_copies.sort_unstable();
        first_copies.dedup();
        assert_eq!(first_copies, (1..=30).collect::<Vec<_>>(), "{plan}");
    }
    assert_eq!(seqs.len(), 20);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_dies_and_comes_back_costs_nothing() {
    let mut world = World::on(Postgres::own_cluster().await).await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    world.postgres.kill().await;
    world.postgres.restart().await;
    let appender = world.hinting_appender().await;
    load(std::slice::from_ref(&appender), 10, 5).await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await, in_order(10, 10));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_holds_already_is_done_with() {
    let world = World::start().await;
    let broker = world.broker().await;
    broker.ensure_topology(&support::topology()).await.unwrap();
    let appender = world.appender().await;
    for record in append(&appender, "order-0", 10).await {
        broker.publish(EventMessage::encode(&record, 8).unwrap()).await.unwrap().acknowledged().await.unwrap();
    }
    let relay = world.relay("a").await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await, in_order(1, 10));
    assert_eq!((relay.metrics.duplicates.get(), relay.metrics.acknowledged.get()), (10, 1));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_refuses_pauses_the_partition_and_is_sent_to_again_from_there() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    eventually("it has begun", async || relay.metrics.acknowledged.get() == 1).await;
    let stream = context(&world).await;
    let there = stream.get_stream(EVENTS).await.unwrap().cached_info().config.clone();
    // Room for ten more; what comes after is refused.
    stream
        .update_stream(&StreamConfig { discard: DiscardPolicy::New, max_messages: 11, ..there.clone() })
        .await
        .unwrap();
    let appender = world.appender().await;
    append(&appender, "order-0", 30).await;
    eventually("the stream is full", async || world.owed().await == 20).await;
    append(&appender, "order-0", 10).await;
    assert_eq!(world.owed().await, 30, "publishing goes on");
    stream.update_stream(&there).await.unwrap();
    world.nothing_is_owed().await;
    let mut seqs = world.seqs().await;
    let order = seqs.get_mut("order-0").unwrap();
    assert_eq!(order[..10], (1..=10).collect::<Vec<_>>());
    // The stream had room again in the middle of a window, it may be: then it took a later one before those that it refused.
    order.sort_unstable();
    assert_eq!(seqs, in_order(1, 40));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_is_made_again() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    let appender = world.hinting_appender().await;
    append(&appender, "order-0", 5).await;
    world.nothing_is_owed().await;
    context(&world).await.delete_stream(EVENTS).await.unwrap();
    append(&appender, "order-0", 5).await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await["order-0"], (6..=10).collect::<Vec<_>>(), "the rest is the ledger's to deliver");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_committed_late_is_found_above_the_bound() {
    let world = World::start().await;
    let appender = world.appender().await;
    let late = append(&appender, "late-1", 1).await.remove(0);
    let partition = PlanKey::of("acme", "late-1").partition(8);
    let plan_no = world.number("SELECT plan_no FROM sealbus.plans WHERE plan = 'late-1'").await;
    world.postgres.admin("DELETE FROM sealbus.outbox WHERE plan_no > 1").await;

    let mut connection = PgConnection::connect(&world.postgres.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let insert = format!("INSERT INTO sealbus.outbox (partition, plan_no, seq) VALUES ({partition}, {plan_no}, 1)");
    sqlx::query(AssertSqlSafe(insert)).execute(&mut *transaction).await.unwrap();

    // Only the bounded look can find it: no hint, and no full sweep after the first.
    let relay = world.relay_with(Config { full_sweep: NEVER, ..config("a") }).await;
    let plan = neighbour(partition);
    for _ in 0..20 {
        let deleted = relay.metrics.deleted.get();
        append(&appender, &plan, 1).await;
        eventually("later ones pass it", async || relay.metrics.deleted.get() > deleted).await;
    }
    transaction.commit().await.unwrap();
    world.nothing_is_owed().await;
    assert!(world.stream().await.contains(&late));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_below_the_bound_is_found_by_the_look_without_bound() {
    let world = World::start().await;
    let appender = world.appender().await;
    let relay = world.relay("a").await;
    let partition = PlanKey::of("acme", "order-0").partition(8);
    for _ in 0..10 {
        let deleted = relay.metrics.deleted.get();
        append(&appender, "order-0", 1).await;
        eventually("the bound rises", async || relay.metrics.deleted.get() > deleted).await;
    }
    world.nothing_is_owed().await;
    // As after a failover, where ids are drawn anew.
    let insert = format!(
        "INSERT INTO sealbus.outbox (id, partition, plan_no, seq) OVERRIDING SYSTEM VALUE
         SELECT -1, {partition}, plan_no, 1 FROM sealbus.plans WHERE plan = 'order-0'"
    );
    world.postgres.admin(&insert).await;
    world.nothing_is_owed().await;
    assert_eq!(relay.metrics.duplicates.get(), 1, "it was sent again");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phantom_is_told() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.nothing_is_owed().await;
    let phantom = forge(&world, "phantom-1");
    let broker = world.broker().await;
    let partition = PlanKey::of("acme", "phantom-1").partition(8);
    eventually("the phantom is told", async || {
        // A hint can come before its listener; the event's id keeps the stream from holding it twice.
        broker.hint(partition, 4_711, &phantom);
        relay.metrics.phantoms.get() > 0
    })
    .await;
    assert!(world.stream().await.contains(&phantom), "the stream holds it, and consumers find it out by the ledger");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_is_not_what_was_sealed_is_not_sent() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.nothing_is_owed().await;
    let broker = world.broker().await;
    let real = forge(&world, "forged-1");
    let partition = PlanKey::of("acme", "forged-1").partition(8);
    let mut other_payload = real.clone();
    other_payload.payload = Some("{\"n\":2}".into());
    let mut no_payload = real.clone();
    no_payload.payload = None;
    let mut other_metadata = real.clone();
    other_metadata.metadata = "{\"a\":1}".into();
    let mut other_seal = real.clone();
    other_seal.sig[0] ^= 1;
    let mut other_origin = real.clone();
    other_origin.header.origin = "elsewhere.example".into();
    other_origin.event_hash = other_origin.header.hash();
    for forged in [&other_payload, &no_payload, &other_metadata, &other_seal, &other_origin] {
        let refused = relay.metrics.refused_hints();
        eventually("it is refused", async || {
            broker.hint(partition, 4_711, forged);
            relay.metrics.refused_hints() > refused
        })
        .await;
    }
    let refused = relay.metrics.refused_hints();
    eventually("one of another partition is refused", async || {
        broker.hint((partition + 1) % 8, 4_711, &real);
        relay.metrics.refused_hints() > refused
    })
    .await;
    assert_eq!(relay.metrics.acknowledged.get(), 1, "nothing but the key's own event was sent");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_with_anothers_row_leaves_that_row_alone() {
    let world = World::start().await;
    let appender = world.appender().await;
    let relay = world.relay_with(Config { sweep: NEVER, full_sweep: NEVER, ..config("a") }).await;
    eventually("it has looked once", async || relay.metrics.partitions.get() == 8 && world.owed().await == 0).await;
    let first = append(&appender, "order-0", 1).await.remove(0);
    append(&appender, "order-1", 1).await;
    let others_row = world.number("SELECT max(id) FROM sealbus.outbox").await;
    let broker = world.broker().await;
    let begun = relay.metrics.acknowledged.get();
    eventually("it is sent", async || {
        broker.hint(PlanKey::of("acme", "order-0").partition(8), others_row, &first);
        relay.metrics.acknowledged.get() > begun
    })
    .await;
    relay.stop().await;
    assert_eq!(world.owed().await, 2, "neither row was the one that was acknowledged under this id");
    let relay = world.relay("b").await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await, in_order(2, 1));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_event_holds_its_own_plan_back_until_it_is_whole_again() {
    let world = World::start().await;
    let appender = world.hinting_appender().await;
    let partition = PlanKey::of("acme", "order-0").partition(8);
    let other = neighbour(partition);
    append(&appender, "order-0", 3).await;
    let edit = |actor: &str| {
        format!(
            "SET session_replication_role = replica;
             UPDATE sealbus.events e SET actor = '{actor}' FROM sealbus.plans p WHERE p.plan_no = e.plan_no AND p.plan = 'order-0' AND e.seq = 2"
        )
    };
    world.postgres.admin(&edit("mallory")).await;
    let relay = world.relay_with(Config { page: 20, ..config("a") }).await;
    eventually("it is held back", async || relay.metrics.blocked.get() > 0 && world.owed().await == 2).await;
    // Far more than may be in memory is hinted of it, and does not take the other plan's room.
    for _ in 0..5 {
        append(&appender, "order-0", 20).await;
        append(&appender, &other, 20).await;
    }
    eventually("the other flows", async || world.owed().await == 102).await;
    world.postgres.admin(&edit("tester")).await;
    world.nothing_is_owed().await;
    let seqs = world.seqs().await;
    assert_eq!(seqs["order-0"], (1..=103).collect::<Vec<_>>());
    assert_eq!(seqs[&other], (1..=100).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elders_that_are_many_are_fetched_bit_by_bit() {
    let world = World::start().await;
    let relay = world.relay_with(Config { page: 30, sweep: NEVER, full_sweep: NEVER, ..config("a") }).await;
    eventually("it has looked once", async || relay.metrics.partitions.get() == 8 && world.owed().await == 0).await;
    // Nobody hints the first three hundred, and no sweep is to come: a hint pulls its elders along.
    let silent = world.appender().await;
    append(&silent, "order-0", 300).await;
    let appender = world.hinting_appender().await;
    let mut all = 300;
    eventually("they came with their juniors", async || {
        append(&appender, "order-0", 1).await;
        all += 1;
        relay.metrics.acknowledged.get() > 300
    })
    .await;
    eventually("all are through", async || world.seqs().await["order-0"] == (1..=all).collect::<Vec<_>>()).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_few_plans_goes_through_pages_and_windows() {
    let world = World::start().await;
    let appender = world.appender().await;
    for _ in 0..4 {
        append(&appender, "order-0", 500).await;
        append(&appender, "order-1", 500).await;
    }
    // A page and a memory far smaller than what is owed.
    let relay = world.relay_with(Config { page: 60, memory: 20_000, sweep: NEVER, ..config("a") }).await;
    world.nothing_is_owed().await;
    assert_eq!(world.seqs().await, in_order(2, 2_000));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_says_what_the_stream_holds() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.nothing_is_owed().await;
    let records = append(&world.appender().await, "order-0", 3).await;
    world.nothing_is_owed().await;
    let last = records[2].event_hash;
    let beacons = format!(
        "SELECT count(*) FROM sealbus.beacons WHERE stream = '{EVENTS}' AND stream_seq = 4 AND msg_id = '{last}'"
    );
    eventually("the beacon is there", async || world.number(&beacons).await == 1).await;
    relay.stop().await;
}

/// Another plan in that partition.
fn neighbour(partition: u32) -> String {
    let mut names = (0..1_000).map(|n| format!("other-{n}"));
    names.find(|plan| PlanKey::of("acme", plan).partition(8) == partition).unwrap()
}

/// An event that is sealed with the ledger's key, as the first of its plan, and was never appended.
fn forge(world: &World, plan: &str) -> Record {
    let signer = world.keyring.signer().unwrap();
    let (payload, metadata) = ("{\"n\":1}", "{}");
    let now = sealbus_core::timestamp::Timestamp::from_micros(1_795_168_800_000_000).unwrap();
    let header = Header {
        origin: ORIGIN.into(),
        tenant: "acme".into(),
        plan: plan.into(),
        seq: 1,
        event_id: uuid::Uuid::now_v7(),
        event_type: "test.happened".into(),
        data_version: 1,
        occurred: now,
        recorded: now,
        source: String::new(),
        actor: "tester".into(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: sealbus_core::event::PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).unwrap(),
        payload_hash: Hash::of(payload.as_bytes()),
        metadata_hash: Hash::of(metadata.as_bytes()),
        prev: Header::genesis(ORIGIN, "acme", plan),
        kid: signer.kid().clone(),
    };
    let event_hash = header.hash();
    let seal = signer.seal(&header, &event_hash);
    Record {
        header,
        event_hash,
        mac: seal.mac,
        sig: seal.sig,
        payload: Some(payload.into()),
        metadata: metadata.into(),
        request_mac: vec![0; 32],
        v1: None,
        log_index: None,
    }
}
