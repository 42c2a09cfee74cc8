//! Two sealers under load. The leader is killed with SIGKILL in the middle of a batch, repeatedly: there is no fork, and every
//! event has exactly one leaf.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::EdgeTiles;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Notes;
use sealbus_ledger::Ledger;
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};
use sealbus_testkit::eventually;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{Acknowledged, Bus, Load, Role, client};

const ORIGIN: &str = "test.example/bus";
const KILLS: usize = 20;
/// Number of plans that are published to in parallel.
const PLANS: usize = 28;
/// The tables that a sealing transaction writes, in order. It is blocked before each of them.
const WRITTEN: [&str; 3] = ["log_leaves", "tiles", "log_roots"];

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_killed_in_mid_batch_twenty_times() {
    let mut bus = Bus::start().await;
    let anchors = bus.folder.path().join("anchors");
    bus.set("SEALBUS_ANCHORS", &anchors.display().to_string());
    bus.set("SEALBUS_CHECKPOINT_INTERVAL", "20ms");
    // Batches end inside a tile as well as at its edge.
    bus.set("SEALBUS_MAX_SEAL_EVENTS", "100");
    let publisher = bus.role("publisher").await;
    let mut sealers = [bus.role("sealer").await, bus.role("sealer").await];
    let load = Load::start(client(std::slice::from_ref(&publisher)), PLANS);

    let server = reqwest::Url::parse(&bus.postgres.url()).unwrap().port().unwrap();
    let mut led = BTreeSet::new();
    for round in 0..KILLS {
        let blocked = block_before(&bus, WRITTEN[round % WRITTEN.len()]).await;
        let owner = |sealer: &Role| owns(sealer.pid(), blocked.port, server);
        let leader = sealers.iter().position(owner).expect("a sealer's connection");
        led.insert(leader);
        let before = size(&bus).await;
        sealers[leader].kill().await;
        assert_eq!(size(&bus).await, before, "the batch was committed although its sealer was killed");
        blocked.release().await;
        eventually("the other sealer continues", async || size(&bus).await > before).await;
        sealers[leader].start(&bus).await;
    }
    assert_eq!(led.len(), 2, "only one sealer has led");

    let acknowledged = load.end().await;
    let ledger = sealbus_testkit::ledger::open(&bus.postgres.url()).await;
    let events = u64::try_from(bus.count("SELECT count(*) FROM sealbus.events").await).unwrap();
    eventually("a shown checkpoint covers every event", async || {
        ledger.log().shown_checkpoint().await.unwrap().is_some_and(|(size, _)| size == events)
    })
    .await;
    expect_one_leaf_for_each(&bus, &acknowledged).await;
    expect_one_history(&bus, &ledger, events, &anchors).await;
    let (status, printed) = bus.run(&["verify", "--all"]).await;
    assert_eq!(status, 0, "{printed}");
}

/// A sealing transaction that is blocked by a table lock.
struct Blocked {
    lock: PgConnection,
    /// The local port of the sealer's connection.
    port: u16,
}

/// Locks a table against writes, and waits until the transaction that holds the sealers' lock waits for the table.
async fn block_before(bus: &Bus, table: &str) -> Blocked {
    let mut lock = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let run = |sql: String| sqlx::raw_sql(AssertSqlSafe(sql));
    run("BEGIN".to_owned()).execute(&mut lock).await.unwrap();
    run(format!("LOCK TABLE sealbus.{table} IN SHARE MODE")).execute(&mut lock).await.unwrap();
    let waiting = format!(
        "SELECT a.client_port FROM pg_locks w JOIN pg_stat_activity a ON a.pid = w.pid
         WHERE w.relation = 'sealbus.{table}'::regclass AND NOT w.granted AND EXISTS (
             SELECT FROM pg_locks s WHERE s.pid = w.pid AND s.locktype = 'advisory' AND s.granted
                AND s.classid = 0 AND s.objid = x'7365616c'::integer)"
    );
    let mut port = None;
    eventually(&format!("a batch waits for {table}"), async || {
        port = sqlx::query_scalar::<_, i32>(AssertSqlSafe(waiting.as_str())).fetch_optional(&mut lock).await.unwrap();
        port.is_some()
    })
    .await;
    Blocked { lock, port: u16::try_from(port.unwrap()).unwrap() }
}

impl Blocked {
    async fn release(self) {
        // Closing the connection releases the lock.
        self.lock.close().await.unwrap();
    }
}

/// Returns whether a process has the connection from this local port to the server. Another process may have the same local
/// port, connected to another server or closed a moment ago.
fn owns(pid: u32, port: u16, server: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_connection = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ends_in = |column: usize, port: u16| columns[column].ends_with(&format!(":{port:04X}"));
        (ends_in(1, port) && ends_in(2, server)).then(|| PathBuf::from(format!("socket:[{}]", columns[9])))
    };
    let sockets: Vec<PathBuf> = sockets.lines().filter_map(of_connection).collect();
    let mut files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.any(|file| std::fs::read_link(file.unwrap().path()).is_ok_and(|link| sockets.contains(&link)))
}

async fn size(bus: &Bus) -> i64 {
    bus.count("SELECT max(size) FROM sealbus.log_roots").await
}

async fn expect_one_leaf_for_each(bus: &Bus, acknowledged: &Acknowledged) {
    let expect_none = |sql: &'static str| async move { assert_eq!(bus.count(sql).await, 0, "{sql}") };
    expect_none("SELECT count(*) FROM sealbus.seal_queue").await;
    expect_none(
        "SELECT count(*) FROM sealbus.events e LEFT JOIN sealbus.log_leaves l USING (plan_no, seq) WHERE l.seq IS NULL",
    )
    .await;
    expect_none(
        "SELECT count(*) FROM (SELECT FROM sealbus.log_leaves GROUP BY plan_no, seq HAVING count(*) > 1) twice",
    )
    .await;
    expect_none(
        "SELECT count(*) FROM sealbus.log_leaves l LEFT JOIN sealbus.events e USING (plan_no, seq) WHERE e.seq IS NULL",
    )
    .await;
    expect_none("SELECT count(*) - max(leaf_index) - 1 FROM sealbus.log_leaves").await;
    expect_none("SELECT min(leaf_index) FROM sealbus.log_leaves").await;
    expect_none(
        "SELECT count(*) FROM sealbus.log_roots a JOIN sealbus.log_roots b USING (log_id) WHERE b.size > a.size AND b.prev_size < a.size",
    )
    .await;
    let ids: Vec<_> = acknowledged.0.values().flatten().map(|id| format!("'{id}'")).collect();
    let stored =
        format!("SELECT count(*) FROM sealbus.events WHERE tenant = 'test' AND event_id IN ({})", ids.join(","));
    assert_eq!(bus.count(&stored).await, i64::try_from(ids.len()).unwrap(), "an acknowledged event is missing");
}

/// Checks that the tree computed from the events is the newest one, and that it continues every anchored or shown checkpoint.
async fn expect_one_history(bus: &Bus, ledger: &Ledger, events: u64, anchors: &Path) {
    let (mut edge, mut from) = (EdgeTiles::default(), 0);
    loop {
        let records = ledger.history().log_page(None, from, 1_000).await.unwrap().records;
        if records.is_empty() {
            break;
        }
        from += records.len() as u64;
        let leaves: Vec<_> = records.iter().map(sealbus_core::event::Record::leaf_hash).collect();
        edge.append(&leaves).unwrap();
    }
    let newest = ledger.log().newest_tree().await.unwrap();
    assert_eq!((edge.size(), edge.root()), (newest.size, newest.root));
    assert_eq!(newest.size, events);

    let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
    let key = LogSigner::new(&keyring, ORIGIN).unwrap().verifier_key();
    let policy = Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).unwrap();
    let mut notes = Notes::new(&policy, ORIGIN, SystemClock.unix_seconds(), None);
    let (_, shown) = ledger.log().shown_checkpoint().await.unwrap().unwrap();
    notes.checkpoint(shown.as_bytes());
    let broker = bus.nats.connect().await;
    let mut sizes = BTreeSet::new();
    for anchor in [&AnchorFile::new(anchors) as &dyn Anchor, &AnchorStream::new(broker)] {
        for (n, note) in anchor.notes(true).await.unwrap().iter().enumerate() {
            notes.anchor(&format!("{} {n}", anchor.name()), note);
            sizes.insert(Note::parse(note).unwrap().text().parse::<Checkpoint>().unwrap().size());
        }
    }
    assert!(sizes.len() > KILLS, "{sizes:?}");
    let mut tree = notes.tree();
    while let Some(id) = tree.wanted() {
        let tile = ledger.log().hash_tile(id).await.unwrap();
        tree.take(tile.map(|tile| tile.encode()).as_deref());
    }
    let log = notes.with_tree(tree);
    assert!(log.findings().is_empty(), "{:?}", log.findings());
    assert_eq!(log.vouched().map(|vouched| vouched.log_index + 1), Some(events));
}
