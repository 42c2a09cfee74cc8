//! Tests that change a plan. The number in the name of a test is a row of the tampering table
//! (docs/spec/integrity.md#tampering-table). The rows are 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 32 and 35.

use sealbus_core::event::Record;
use sealbus_core::seal::{KeyKind, Signer};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::bundle::write_record;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::scene::{SIZE, Scene, findings_of, now, place, row_at, sealed_by, with_payload};

#[tokio::test]
async fn row_06_middle_row_deleted() {
    let scene = Scene::start().await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("acme/order-1/3"))).await;
    scene.expect(&[("SEQ_GAP", "acme/order-1/3")]);
}

#[tokio::test]
async fn row_07_first_row_deleted() {
    let scene = Scene::start().await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("acme/order-2/1"))).await;
    scene.expect(&[("GENESIS", "acme/order-2/1")]);
}

#[tokio::test]
async fn row_08_sealed_tail_deleted() {
    let scene = Scene::start().await;
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at("acme/order-3/2"))).await;
    scene.expect(&[("MISSING_LEAF", "acme/order-3/2")]);
    // Delete the row in the table of leaves too. The leaf is still in the tree, and no plan claims it.
    scene.tamper(&format!("DELETE FROM sealbus.log_leaves WHERE {}", row_at("acme/order-3/2"))).await;
    scene.expect(&[("MISSING_LEAF", &format!("leaf {}", SIZE - 1))]);
}

#[tokio::test]
async fn row_09_unsealed_tail_deleted_or_replaced() {
    let mut scene = Scene::start().await;
    let tail = "acme/order-2/4";
    let receipt = scene.record(tail).await;
    std::fs::write(scene.path("receipt"), write_record(&receipt, None)).unwrap();
    let with_receipt = vec!["--receipt".to_owned(), scene.path("receipt").display().to_string()];

    // The row in the seal queue or a receipt shows that the event is missing.
    scene.put(&sealed_by(&scene.hmac, with_payload(r#"{"n":44}"#, receipt))).await;
    scene.expect(&[("MISSING", tail)]);
    scene.tamper(&format!("DELETE FROM sealbus.events WHERE {}", row_at(tail))).await;
    scene.expect(&[("MISSING", tail)]);
    scene.tamper(&format!("DELETE FROM sealbus.seal_queue WHERE {}", row_at(tail))).await;
    scene.arguments.clone_from(&with_receipt);
    scene.expect(&[("MISSING", tail)]);
    // The deletion cannot be detected if there is neither a row in the seal queue nor a receipt.
    scene.arguments.clear();
    scene.expect_only(&[("UNANCHORED", "acme/order-1/5")]);
}

#[tokio::test]
async fn row_10_a_whole_plan_deleted() {
    let scene = Scene::start().await;
    scene.tamper("DELETE FROM sealbus.events WHERE tenant = 'other'").await;
    scene.expect(&[("MISSING_LEAF", "other/order-1/1"), ("MISSING_LEAF", "other/order-1/2")]);
    // Delete the plan's row and the rows of its leaves too. The leaves are still in the tree, and no plan claims them.
    scene
        .tamper("DELETE FROM sealbus.log_leaves l USING sealbus.plans p WHERE p.plan_no = l.plan_no AND p.tenant = 'other'; DELETE FROM sealbus.plans WHERE tenant = 'other'")
        .await;
    scene.expect(&[("MISSING_LEAF", "leaf 5"), ("MISSING_LEAF", "leaf 6")]);
}

#[tokio::test]
async fn row_11_two_rows_swapped_and_renumbered() {
    let scene = Scene::start().await;
    let set = |place: &str, seq: i32| format!("UPDATE sealbus.events SET seq = {seq} WHERE {};", row_at(place));
    let swap = [set("acme/order-1/2", -2), set("acme/order-1/3", 2), set("acme/order-1/-2", 3)].concat();
    scene.tamper(&swap).await;
    scene.expect(&[("LINK", "acme/order-1/2"), ("LINK", "acme/order-1/3"), ("LINK", "acme/order-1/4")]);
}

/// Returns the events of `order-2` from this seq on with another payload. They are linked and sealed correctly, as by someone
/// who has the MAC key.
async fn rewritten(scene: &Scene, from: u64) -> Vec<Record> {
    let mut records = scene.records().await;
    records.retain(|place, _| place.starts_with("acme/order-2/"));
    let mut records: Vec<Record> = records.into_values().collect();
    let mut before = None;
    for record in &mut records {
        if record.header.seq >= from {
            record.header.prev = before.unwrap_or(record.header.prev);
            *record = sealed_by(&scene.hmac, with_payload(r#"{"amount":"0.01"}"#, record.clone()));
        }
        before = Some(record.event_hash);
    }
    records.retain(|record| record.header.seq >= from);
    records
}

async fn put_all(scene: &Scene, records: &[Record]) {
    for record in records {
        scene.put(record).await;
    }
}

#[tokio::test]
async fn row_12_plan_rewritten_with_the_mac_key() {
    let scene = Scene::start().await;
    put_all(&scene, &rewritten(&scene, 1).await).await;
    scene.tamper("DELETE FROM sealbus.seal_queue").await;
    let places = ["acme/order-2/1", "acme/order-2/2", "acme/order-2/3"];
    scene.expect(&places.map(|place| ("LEAF_MISMATCH", place)));
}

#[tokio::test]
async fn row_13_rewritten_with_tree_and_checkpoint_signed_again() {
    let scene = Scene::start().await;
    let rewritten = rewritten(&scene, 2).await;
    let mut log = scene.sealed().await;
    for record in &mut log {
        if let Some(new) = rewritten.iter().find(|new| place(new) == place(record)) {
            *record = Record { log_index: record.log_index, ..new.clone() };
        }
    }
    put_all(&scene, &rewritten).await;
    scene.rebuild_log(&log).await;
    scene.expect(&[("INCONSISTENT", &format!("size {SIZE}"))]);
    // Add a leaf, so that the rewritten log is longer than the anchored one. It is inconsistent too.
    log.push(scene.record("acme/order-1/5").await);
    scene.rebuild_log(&log).await;
    scene.expect(&[("INCONSISTENT", &format!("size {SIZE}"))]);
}

#[tokio::test]
async fn row_14_suffix_rewritten_to_the_same_length() {
    let scene = Scene::start().await;
    put_all(&scene, &rewritten(&scene, 3).await).await;
    scene.tamper("DELETE FROM sealbus.seal_queue").await;
    scene.expect(&[("LEAF_MISMATCH", "acme/order-2/3")]);
}

#[tokio::test]
async fn row_15_two_events_at_one_place() {
    let scene = Scene::start().await;
    let columns = "tenant, type, data_version, occurred, recorded, source, actor, correlation_id, causation_id, payload_mode, \
                   payload_size, payload_hash, metadata_hash, kid, event_hash, mac, sig, request_mac, payload, metadata";
    let mut connection = scene.connect().await;
    for (seq, constraint) in [("seq", "events_pkey"), ("seq + 10", "events_no_fork")] {
        let insert = format!(
            "INSERT INTO sealbus.events (plan_no, seq, event_id, prev, {columns}) SELECT plan_no, {seq}, gen_random_uuid(), prev, {columns} \
             FROM sealbus.events WHERE {}",
            row_at("acme/order-2/3")
        );
        let refused = connection.execute(AssertSqlSafe(insert)).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().constraint(), Some(constraint));
    }
    scene.expect(&[]);

    // The constraints of the database do not apply to a bundle.
    for (command, out) in [("export", "bundle"), ("trust", "trust")] {
        let out = scene.path(out).display().to_string();
        let arguments =
            if command == "export" { vec![command, "--all", "--out", &out] } else { vec![command, "--out", &out] };
        assert!(scene.sealbus(&arguments).status().unwrap().success());
    }
    let events = scene.path("bundle/events.jsonl");
    let mut lines: Vec<String> = std::fs::read_to_string(&events).unwrap().lines().map(str::to_owned).collect();
    let third = lines.iter().position(|line| line.contains(r#""plan":"order-2","seq":3"#)).unwrap();
    let other = with_payload(r#"{"n":33}"#, scene.record("acme/order-2/3").await);
    lines.insert(third + 1, write_record(&sealed_by(&scene.hmac, other), None));
    std::fs::write(&events, lines.join("\n") + "\n").unwrap();
    let (bundle, trust) = (scene.path("bundle").display().to_string(), scene.path("trust").display().to_string());
    let (found, code) =
        findings_of(&mut scene.sealbus(&["verify", "--bundle", &bundle, "--trust", &trust, "-o", "json"]));
    let expected = [("FORK", "acme/order-2/3"), ("UNANCHORED", "acme/order-1/5"), ("UNANCHORED", "acme/order-2/4")];
    assert_eq!((found, code), (expected.map(|(verdict, place)| (verdict.to_owned(), place.to_owned())).to_vec(), 3));
}

#[tokio::test]
async fn row_17_event_copied_to_another_plan_tenant_or_origin() {
    let scene = Scene::start().await;
    let first = scene.record("acme/order-2/1").await;
    let moved = |tenant: &str, plan: &str, seq: u64| {
        let mut record = first.clone();
        record.header.event_id = Uuid::now_v7();
        (record.header.tenant, record.header.plan, record.header.seq) = (tenant.into(), plan.into(), seq);
        record
    };
    // Copy the event, with its old seal or with a new seal by someone who has the key.
    scene.put(&moved("acme", "order-2b", 1)).await;
    scene.put(&sealed_by(&scene.hmac, moved("third", "order-2", 1))).await;
    scene.put(&moved("other", "order-1", 3)).await;
    let mut of_other_origin = moved("acme", "order-3", 3);
    of_other_origin.header.origin = "other.example/bus".into();
    scene.put(&sealed_by(&scene.ed25519, of_other_origin)).await;
    scene.expect(&[
        ("GENESIS", "acme/order-2b/1"),
        ("GENESIS", "third/order-2/1"),
        ("LINK", "other/order-1/3"),
        ("LINK", "acme/order-3/3"),
    ]);
}

#[tokio::test]
async fn row_32_leaf_order_against_plan_order() {
    let scene = Scene::start().await;
    let mut log = scene.sealed().await;
    let index = |log: &[Record], wanted: &str| log.iter().position(|record| place(record) == wanted).unwrap();
    let (second, third) = (index(&log, "acme/order-2/2"), index(&log, "acme/order-2/3"));
    log.swap(second, third);
    let note = scene.rebuild_log(&log).await;
    scene.anchor_only(&note).await;
    scene.expect(&[("ORDER", "acme/order-2/3")]);
}

#[tokio::test]
async fn row_35_event_kept_out_of_the_log() {
    let scene = Scene::start().await;
    // Append an event that was recorded two minutes ago, and delete its row in the seal queue. Later events have leaves.
    let keyring = Scene::keyring(KeyKind::Hmac);
    scene.append(&keyring, "other", "order-9", &[("test.happened", "{}".into())]).await;
    let mut kept = scene.record("other/order-9/1").await;
    kept.header.recorded = Timestamp::from_micros((i64::try_from(now()).unwrap() - 120) * 1_000_000).unwrap();
    let signer: Signer = keyring.signer().unwrap();
    let mut kept = sealed_by(&signer, kept);
    kept.v1 = scene.record("other/order-9/1").await.v1;
    scene.put(&kept).await;
    scene.tamper(&format!("DELETE FROM sealbus.seal_queue WHERE {}", row_at("other/order-9/1"))).await;
    // Remove the leaf of an event whose successor has a leaf.
    let mut log = scene.sealed().await;
    log.retain(|record| place(record) != "acme/order-2/2");
    let note = scene.rebuild_log(&log).await;
    scene.anchor_only(&note).await;
    scene.expect(&[("UNSEALED", "acme/order-2/2"), ("UNSEALED", "other/order-9/1")]);
}
