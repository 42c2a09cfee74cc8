//! Tests that change one event: rows 1 to 5, 18, 21, 22, 34, 36, 37 and 39 of the tampering table
//! (docs/spec/integrity.md#tampering-table).

use sealbus_core::timestamp::Timestamp;

use crate::scene::{Scene, now, place, sealed_by};

#[tokio::test]
async fn row_00_nothing_changed() {
    Scene::start().await.expect(&[]);
}

#[tokio::test]
async fn row_01_payload_value_changed() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", r#"payload = '{"a":"y","n":2}'"#).await;
    scene.change("acme/order-2/1", "payload = NULL").await;
    scene.expect(&[("PAYLOAD_HASH", "acme/order-1/2"), ("PAYLOAD_HASH", "acme/order-2/1")]);
}

#[tokio::test]
async fn row_02_type_time_actor_or_source_changed() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/1", "type = 'test.denied'").await;
    scene.change("acme/order-1/2", "occurred = occurred - interval '1 day'").await;
    scene.change("acme/order-1/3", "actor = 'somebody'").await;
    scene.change("acme/order-1/4", "source = 'urn:else'").await;
    scene.change("acme/order-2/1", "recorded = recorded - interval '1 microsecond'").await;
    scene.change("acme/order-2/2", "correlation_id = 'c'").await;
    scene.change("acme/order-2/3", "payload = NULL, payload_mode = 3").await;
    let places = ["order-1/1", "order-1/2", "order-1/3", "order-1/4", "order-2/1", "order-2/2", "order-2/3"];
    let places = places.map(|place| format!("acme/{place}"));
    scene.expect(&places.each_ref().map(|place| ("EVENT_HASH", place.as_str())));
}

#[tokio::test]
async fn row_03_metadata_changed() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", r#"metadata = '{"reason":"none"}'"#).await;
    scene.expect(&[("METADATA_HASH", "acme/order-1/2")]);
}

#[tokio::test]
async fn row_04_mac_bit_flipped_truncated_empty() {
    let scene = Scene::start().await;
    scene.change("acme/order-2/1", "mac = set_bit(mac, 100, 1 - get_bit(mac, 100))").await;
    scene.change("acme/order-2/2", "mac = substr(mac, 1, 16)").await;
    scene.change("acme/order-2/3", "mac = ''").await;
    let places = ["acme/order-2/1", "acme/order-2/2", "acme/order-2/3"];
    scene.expect(&places.map(|place| ("MAC", place)));
}

#[tokio::test]
async fn row_05_signature_removed_or_head_rewritten_under_an_hmac_key() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/1", "sig = ''").await;
    scene.change("acme/order-1/2", "mac = substr(sig, 1, 32), sig = ''").await;
    let head = scene.record("acme/order-1/5").await;
    scene.put(&sealed_by(&scene.hmac, head)).await;
    scene.tamper("DELETE FROM sealbus.seal_queue").await;
    scene.expect(&[("SUITE", "acme/order-1/1"), ("SUITE", "acme/order-1/2"), ("SUITE", "acme/order-1/5")]);
}

#[tokio::test]
async fn row_18_key_id_swapped() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", "kid = 'ed25519-0123456789abcdef'").await;
    scene.change("acme/order-1/3", &format!("kid = '{}'", scene.hmac.kid())).await;
    scene.change("acme/order-2/2", "kid = 'hmac-0123456789abcdef'").await;
    scene.expect(&[("EVENT_HASH", "acme/order-1/2"), ("SUITE", "acme/order-1/3"), ("EVENT_HASH", "acme/order-2/2")]);
}

#[tokio::test]
async fn row_21_names_that_run_together() {
    let scene = Scene::start().await;
    let hash = async |plan: &str, event_type: &str| {
        let mut record = scene.record("acme/order-2/1").await;
        record.header.plan = plan.to_owned();
        record.header.event_type = event_type.to_owned();
        record.header.hash()
    };
    assert_ne!(hash("a|b", "c").await, hash("a", "b|c").await);
    // Under scheme v1 both names would give the same message, so such a name is refused.
    let mut record = scene.record("other/order-1/1").await;
    record.header.plan = "a|b".into();
    record.header.event_id = uuid::Uuid::now_v7();
    scene.put(&sealed_by(&scene.hmac, record)).await;
    scene.expect(&[("FORMAT", "other/a|b/1")]);
}

#[tokio::test]
async fn row_22_equal_json_in_other_spelling() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/2", r#"payload = E' { "n" : 2.0e0 ,\n "\\u0061":"x" }'"#).await;
    scene.change("acme/order-2/4", r#"payload = '{"n":4,"a":"\u0078"}', metadata = ' {} '"#).await;
    scene.expect(&[]);
}

#[tokio::test]
async fn row_34_signature_bit_flipped_cut_or_s_raised_by_the_group_order() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/1", "sig = set_bit(sig, 9, 1 - get_bit(sig, 9))").await;
    scene.change("acme/order-1/2", "sig = substr(sig, 1, 63)").await;
    let mut raised = scene.record("acme/order-1/3").await;
    raise(&mut raised.sig[32..]);
    scene.put(&raised).await;
    let places = ["acme/order-1/1", "acme/order-1/2", "acme/order-1/3"];
    scene.expect(&places.map(|place| ("SIGNATURE", place)));
}

/// Adds the order of the group of Ed25519, 2^252 + 27742317777372353535851937790883648493.
fn raise(s: &mut [u8]) {
    let mut order = [0_u8; 32];
    order[..16].copy_from_slice(&27_742_317_777_372_353_535_851_937_790_883_648_493_u128.to_le_bytes());
    order[31] = 0x10;
    let mut carry = 0_u16;
    for (byte, more) in s.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

#[tokio::test]
async fn row_36_recorded_earlier_than_the_event_before_or_later_than_a_cosignature_over_it() {
    let scene = Scene::start().await;
    let early = |micros: i64| Timestamp::from_micros(micros).unwrap();
    let mut head = scene.record("acme/order-1/5").await;
    head.header.recorded = early(scene.record("acme/order-1/4").await.header.recorded.micros() - 1);
    scene.put(&sealed_by(&scene.ed25519, head)).await;
    scene.tamper("DELETE FROM sealbus.seal_queue").await;
    scene.expect(&[("TIME", "acme/order-1/5")]);

    // Someone who has all keys builds a log that contains an event of the future.
    let mut late = scene.record("other/order-1/2").await;
    late.header.recorded = early((i64::try_from(now()).unwrap() + 120) * 1_000_000);
    let late = sealed_by(&scene.hmac, late);
    let mut records = scene.sealed().await;
    let changed = records.iter_mut().find(|record| place(record) == place(&late)).unwrap();
    *changed = late.clone();
    scene.put(&late).await;
    let note = scene.rebuild_log(&records).await;
    scene.anchor_only(&note).await;
    // The events without a leaf are more than a minute behind it.
    scene.expect(&[("TIME", "other/order-1/2"), ("UNSEALED", "acme/order-1/5"), ("UNSEALED", "acme/order-2/4")]);
}

#[tokio::test]
async fn row_37_a_field_outside_its_limits_a_byte_too_many_an_unknown_scheme() {
    let scene = Scene::start().await;
    scene.change("acme/order-1/1", "type = 'two words'").await;
    scene.change("acme/order-1/2", "kid = 'rsa-0123456789abcdef'").await;
    scene.change("acme/order-1/3", r"payload_hash = payload_hash || '\x00'").await;
    scene.change("acme/order-2/1", "payload_mode = 7").await;
    scene.change("acme/order-2/2", "actor = repeat('a', 256)").await;
    let places = ["acme/order-1/1", "acme/order-1/2", "acme/order-1/3", "acme/order-2/1", "acme/order-2/2"];
    scene.expect(&places.map(|place| ("FORMAT", place)));
}

#[tokio::test]
async fn row_39_a_v1_column_changed_or_emptied() {
    let scene = Scene::start().await;
    let second = "other/order-1/2";
    let kept = scene.record(second).await;
    for (change, verdict) in [
        ("v1_prev_hash = repeat('0', 64)", "V1_PREV_HASH"),
        ("v1_payload_hash = repeat('0', 64)", "V1_PAYLOAD_HASH"),
        ("v1_signature = repeat('0', 64)", "V1_SIGNATURE"),
        ("v1_prev_hash = NULL", "V1_PREV_HASH"),
        ("v1_payload_hash = NULL", "V1_PAYLOAD_HASH"),
        ("v1_signature = NULL", "V1_SIGNATURE"),
        ("v1_prev_hash = NULL, v1_payload_hash = NULL, v1_signature = NULL", "V1_SIGNATURE"),
    ] {
        scene.change(second, change).await;
        scene.expect(&[(verdict, second)]);
        scene.put(&kept).await;
    }
    // Without any v1 column in the whole plan, the sealed metadata still say that its events carry scheme v1.
    let empty = "v1_prev_hash = NULL, v1_payload_hash = NULL, v1_signature = NULL";
    scene.change("other/order-1/1", empty).await;
    scene.change(second, empty).await;
    scene.expect(&[("V1_SIGNATURE", "other/order-1/1"), ("V1_SIGNATURE", second)]);
}
