//! Data keys in the ledger: appends under a key that is closed or erased, and the findings of a verifier.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU32;

use sealbus_core::envelope::{Binding, DataKey, DataSubject, Envelope, Plaintext, WrappedKey};
use sealbus_core::event::PayloadMode;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{Draft, UnderKey};
use sealbus_core::verify::{ChainCheck, LeafEvidence, Trust, Verdict};
use sealbus_ledger::append::AppendError;
use sealbus_ledger::data_keys::{Current, ErasureRequest};
use sealbus_ledger::history::{PageQuery, Scope};
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{ORIGIN, call, plan, tenant};
use uuid::Uuid;

fn data_subject() -> DataSubject {
    DataSubject::parse("Ada Lovelace").unwrap()
}

fn erasure_request() -> ErasureRequest {
    ErasureRequest {
        tenant: tenant("acme"),
        subject: data_subject(),
        actor: "officer".into(),
        reason: "ticket 17".into(),
    }
}

fn data_key(number: u8) -> DataKey {
    DataKey::new(Uuid::from_u128(u128::from(number)), &[number; 32].into())
}

fn wrapped(test: &TestLedger, key: &DataKey, epoch: u32) -> WrappedKey {
    test.keyring.wrap_data_key(key, "acme", &data_subject(), NonZeroU32::new(epoch).unwrap(), &[1; 24]).unwrap()
}

/// Returns an event of plan `p` whose payload is encrypted under the key.
fn encrypted_draft(key: &DataKey) -> Draft {
    let draft = draft(1);
    let binding = Binding {
        origin: ORIGIN,
        tenant: "acme",
        plan: "p",
        event_id: draft.event_id,
        event_type: &draft.event_type,
        data_version: 1,
    };
    let plaintext = Plaintext { data: draft.payload.clone().unwrap(), metadata: "{}".into() };
    let payload = Envelope::seal(key, [7; 24], &binding, &plaintext).to_text();
    Draft {
        payload_mode: PayloadMode::Encrypted,
        payload_size: u32::try_from(payload.len()).unwrap(),
        payload_hash: Hash::of(payload.as_bytes()),
        payload: Some(payload),
        encrypted: Some(UnderKey {
            key_id: key.key_id(),
            request_mac: key.request_mac(ORIGIN, "acme", draft.request.as_bytes()),
        }),
        ..draft
    }
}

#[tokio::test]
async fn a_damaged_payload_hides_no_other_event_of_its_key() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let key = data_key(1);
    test.ledger.data_keys().add(&[wrapped(&test, &key, 1)]).await.unwrap();
    for _ in 0..2 {
        appender.append(call("acme", "p", vec![encrypted_draft(&key)])).await.unwrap();
    }
    // JSON that Postgres cannot turn into text.
    let damage = r#"UPDATE sealbus.events SET payload = '{"key":"\u0000"}' WHERE payload_mode = 2 AND seq = 1"#;
    test.postgres.admin(&format!("SET session_replication_role = replica; {damage}")).await;

    let keys = [key.key_id()];
    let affected = test.ledger.data_keys().affected(&tenant("acme"), &keys).await.unwrap();
    assert_eq!((affected.events, affected.plans, affected.waiting), (1, 1, 1));
    assert_eq!(test.ledger.data_keys().passed(&tenant("acme"), &keys).await.unwrap(), []);
    let scope = Scope::Plan(tenant("acme"), plan("p"));
    let trust = test.ledger.verification().trust(&test.keyring, 0, &scope).await;
    assert!(trust.is_ok(), "{trust:?}");
}

#[tokio::test]
async fn an_event_under_a_missing_or_closed_key_is_refused_and_a_plain_one_is_stored() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let key = data_key(1);
    let append = async || appender.append(call("acme", "p", vec![encrypted_draft(&key)])).await.map(|_| ());
    let is_refused = |outcome: &Result<(), AppendError>| matches!(outcome, Err(AppendError::DataKeyErased(key_id)) if *key_id == key.key_id());
    let outcome = append().await;
    assert!(is_refused(&outcome), "an event was appended under a key that was never stored: {outcome:?}");
    test.ledger.data_keys().add(&[wrapped(&test, &key, 1)]).await.unwrap();
    append().await.unwrap();
    test.postgres.admin("UPDATE sealbus.data_keys SET closed = true").await;
    let outcome = append().await;
    assert!(is_refused(&outcome), "an event was appended under a closed key: {outcome:?}");
    assert!(appender.append(call("acme", "p", vec![draft(2)])).await.is_ok());
    let next = test.ledger.data_keys().current("acme", &[data_subject()]).await.unwrap();
    assert!(matches!(&next[..], [Current::Next(epoch)] if epoch.get() == 2), "{next:?}");
}

#[tokio::test]
async fn the_first_of_two_keys_of_one_epoch_is_stored_and_found_by_its_id() {
    let test = TestLedger::start().await;
    let (one, other) = (wrapped(&test, &data_key(1), 1), wrapped(&test, &data_key(2), 1));
    test.ledger.data_keys().add(std::slice::from_ref(&one)).await.unwrap();
    test.ledger.data_keys().add(std::slice::from_ref(&other)).await.unwrap();
    let named = [("acme".to_owned(), one.key_id), ("acme".to_owned(), other.key_id), ("other".to_owned(), one.key_id)];
    assert_eq!(test.ledger.data_keys().wrapped(&named).await.unwrap(), [one]);
}

#[tokio::test]
async fn an_erasure_waits_for_a_transaction_that_has_locked_the_key() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let key = data_key(1);
    test.ledger.data_keys().add(&[wrapped(&test, &key, 1)]).await.unwrap();
    let mut holder = test.ledger.effects().begin().await.unwrap();
    let share = "SELECT key_id FROM sealbus.data_keys FOR SHARE";
    sqlx::query(share).execute(&mut *holder).await.unwrap();
    let ledger = test.ledger.clone();
    let erasing = tokio::spawn(async move { ledger.data_keys().erase(&appender, &erasure_request()).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '-- close_data_keys%' AND datname = current_database()";
    sealbus_testkit::eventually("the erasure waits", async || test.postgres.count(waiting).await == 1).await;
    holder.commit().await.unwrap();
    assert_eq!(erasing.await.unwrap().unwrap().keys, [key.key_id()]);
    assert_eq!(test.postgres.count("SELECT count(*) FROM sealbus.data_keys").await, 0);
}

#[tokio::test]
async fn verification_reports_only_the_erased_event() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let key = data_key(1);
    test.ledger.data_keys().add(&[wrapped(&test, &key, 1)]).await.unwrap();
    appender.append(call("acme", "p", vec![draft(1), encrypted_draft(&key), draft(3)])).await.unwrap();
    assert_eq!(test.ledger.data_keys().erase(&appender, &erasure_request()).await.unwrap().keys, [key.key_id()]);
    test.ledger.log().seal_batch(100, &mut sealbus_ledger::log::SealingState::default(), None).await.unwrap();

    let all = PageQuery { limit: 100, ..PageQuery::default() };
    let page =
        async |tenant: &Tenant, plan: &Plan| test.ledger.history().page(tenant, plan, &all).await.unwrap().records;
    let keys = page(&Tenant::system(), &Plan::keys()).await;
    let mut trust = Trust::new(ORIGIN, test.keyring.clone(), &keys, test.ledger.log().size().await.unwrap());
    page(&tenant("acme"), &Plan::erasures()).await.iter().for_each(|record| trust.survey(record));
    let mut check = ChainCheck::new(&trust, None, None, "acme", "p");
    let mut findings = Vec::new();
    for record in page(&tenant("acme"), &plan("p")).await {
        findings.extend(check.next(&record, LeafEvidence::None, None));
    }
    findings.extend(check.finish().findings);
    let found: Vec<_> = findings.iter().map(|finding| (finding.verdict, finding.seq)).collect();
    assert_eq!(found, [(Verdict::Erased, 2)]);
}

#[tokio::test]
async fn an_erasure_event_in_another_plan_or_tenant_has_no_effect() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let key = data_key(1);
    test.ledger.data_keys().add(&[wrapped(&test, &key, 1)]).await.unwrap();
    let payload = format!(r#"{{"keys":["{}"],"reason":"none"}}"#, key.key_id());
    let erasure = || sealbus_testkit::events::draft("subject.erased", payload.clone());
    appender.append(call("acme", "p", vec![erasure()])).await.unwrap();
    let mut elsewhere = call("other", "p", vec![erasure()]);
    elsewhere.plan = Plan::erasures();
    appender.append(elsewhere).await.unwrap();
    assert_eq!(test.ledger.data_keys().redo_erasures().await.unwrap(), 0);
    let stored = test.ledger.data_keys().stored(&[("acme".to_owned(), key.key_id())]).await.unwrap();
    assert!(!stored[0].erased && stored[0].wrapped.is_some());
}
