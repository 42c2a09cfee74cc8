//! Signing keys: the keys that may sign, the processes that sign with them, and the effect of adding and ending keys. The tests
//! use a real Postgres and several replicas.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use sealbus_core::seal::{KeyId, KeyKind, Keyring, KeyringText, NewKey, Status};
use sealbus_core::verify::Verdict;
use sealbus_ledger::append::{AppendError, AppendSettings, Appender};
use sealbus_ledger::keys::{Ending, KeyChange, KeyEvent, KeyRefused, KeyState};
use sealbus_ledger::verification::Scope;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{append_settings, call};
use sealbus_testkit::{TestLedger, eventually};

/// A ledger with two keyrings of the same two keys: the first key is active in one, and the second key in the other.
struct TwoKeys {
    test: TestLedger,
    old: KeyId,
    new: KeyId,
    before: Keyring,
    after: Keyring,
}

impl TwoKeys {
    async fn start() -> Self {
        let test = TestLedger::start().await;
        let old = test.keyring.signer().unwrap().kid().clone();
        let random = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(11));
        let second = NewKey::new(KeyKind::Ed25519, &random, Status::Retired).unwrap();
        let mut file = KeyringText::new(sealbus_testkit::keyring().into()).unwrap();
        file.add(&second);
        let before = Keyring::of_texts([&file]).unwrap();
        assert!(file.set_status(&old, Status::Retired) && file.set_status(second.id(), Status::Active));
        let after = Keyring::of_texts([&file]).unwrap();
        Self { test, old, new: second.id().clone(), before, after }
    }

    async fn appender(&self, keyring: &Keyring) -> Appender {
        let ledger = self.test.open_again().await;
        let settings = AppendSettings { lease_renew_interval: Duration::from_millis(50), ..append_settings() };
        Appender::start(&ledger, keyring, &settings, None).unwrap()
    }

    /// Appends `key.added` for the second key, signed with the first key.
    async fn add(&self) {
        let appender = self.appender(&self.before).await;
        let chain = self.test.ledger.keys().chain(&self.before).await.unwrap();
        let signer = self.before.signer_of(&self.new).unwrap();
        let added = self.test.ledger.keys().append(&appender, &chain, KeyChange::Added(&signer), "tester").await;
        assert_eq!(added.unwrap().header.metadata_hash, metadata_hash());
    }

    async fn findings(&self) -> Vec<(Verdict, String, u64)> {
        let verified = self.test.ledger.verification().verify_chains(&Scope::Everything, &self.after).await.unwrap();
        verified.findings.into_iter().map(|finding| (finding.verdict, finding.plan, finding.seq)).collect()
    }
}

fn metadata_hash() -> sealbus_core::hash::Hash {
    sealbus_core::hash::Hash::of(br#"{"sealbus":{"auth":"none"}}"#)
}

#[tokio::test]
async fn a_key_that_no_event_has_added_may_not_sign() {
    let keys = TwoKeys::start().await;
    let appender = keys.appender(&keys.after).await;
    let refused = appender.append(call("acme", "order-1", vec![draft(1)])).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Key(KeyRefused::Unknown(kid)) if *kid == keys.new), "{refused:?}");
    assert!(refused.to_string().contains(&format!("sealbus keys rotate {}", keys.new)), "{refused}");
    assert_eq!(keys.test.postgres.count("SELECT count(*) FROM sealbus.events").await, 1);
    let told = keys.test.ledger.keys().check(&keys.new).await.unwrap_err().to_string();
    assert_eq!(told, refused.to_string());
}

#[tokio::test]
async fn a_chain_stays_valid_when_one_key_replaces_another() {
    let keys = TwoKeys::start().await;
    let ledger = &keys.test.ledger;
    let (first, second) = (keys.appender(&keys.before).await, keys.appender(&keys.after).await);
    first.append(call("acme", "order-1", vec![draft(1)])).await.unwrap();
    keys.add().await;
    assert_eq!(
        ledger.keys().chain(&keys.before).await.unwrap().window(&keys.new),
        None,
        "a key whose event has no leaf has a window"
    );
    keys.test.seal().await;
    let chain = ledger.keys().chain(&keys.before).await.unwrap();
    let from = chain.window(&keys.new).unwrap().from;
    assert_eq!((from, chain.log_size()), (2, 3));
    ledger.keys().allow(&keys.new).await.unwrap();
    first.append(call("acme", "order-1", vec![draft(2)])).await.unwrap();
    second.append(call("acme", "order-1", vec![draft(3)])).await.unwrap();
    keys.test.seal().await;

    ledger.keys().end(&keys.old, Ending::Retire).await.unwrap();
    let refused = first.append(call("acme", "order-1", vec![draft(4)])).await.unwrap_err();
    let ended = KeyRefused::Ended(keys.old.clone(), KeyState::Retired);
    assert!(matches!(&refused, AppendError::Key(reason) if *reason == ended), "{refused:?}");
    let chain = ledger.keys().chain(&keys.after).await.unwrap();
    let retired = KeyChange::Retired(&keys.old, chain.log_size());
    ledger.keys().append(&second, &chain, retired, "tester").await.unwrap();
    let twice = ledger.keys().append(&second, &chain, retired, "tester").await.unwrap_err();
    assert!(matches!(twice, AppendError::HeadMismatch(3)), "a change was appended after another one: {twice:?}");
    second.append(call("acme", "order-1", vec![draft(4)])).await.unwrap();
    keys.test.seal().await;

    let chain = ledger.keys().chain(&keys.after).await.unwrap();
    assert_eq!(chain.window(&keys.old).unwrap().until, Some(5));
    assert_eq!(chain.window(&keys.new).unwrap().until, None);
    let told = chain.history(&keys.old);
    assert_eq!(told.added, Some(KeyEvent { seq: 1, index: Some(0) }));
    assert_eq!(told.retired, Some(KeyEvent { seq: 3, index: Some(5) }));
    assert_eq!(keys.findings().await, []);
}

/// An event whose leaf is in the log before the `key.added` event of its key is outside the window of the key.
#[tokio::test]
async fn an_event_sealed_before_its_key_was_added_is_outside_the_window() {
    let keys = TwoKeys::start().await;
    // Allow a key to sign that no event has added, as an attacker with the database's password could.
    keys.test.ledger.keys().allow(&keys.new).await.unwrap();
    let second = keys.appender(&keys.after).await;
    second.append(call("acme", "order-1", vec![draft(1)])).await.unwrap();
    keys.test.seal().await;
    keys.add().await;
    keys.test.seal().await;
    second.append(call("acme", "order-1", vec![draft(2)])).await.unwrap();
    keys.test.seal().await;
    assert_eq!(keys.findings().await, [(Verdict::KeyWindow, "order-1".to_owned(), 1)]);
}

#[tokio::test]
async fn a_key_added_with_the_proof_of_another_key_has_no_window() {
    let keys = TwoKeys::start().await;
    let first = keys.appender(&keys.before).await;
    let ledger = &keys.test.ledger;
    // The event for the new key contains the proof of the old key.
    let added = |kid: &KeyId| -> serde_json::Value {
        let signer = keys.before.signer_of(kid).unwrap();
        serde_json::from_str(&signer.key_added(sealbus_testkit::ledger::ORIGIN, &keys.old)).unwrap()
    };
    let mut forged = added(&keys.new);
    forged["proof"] = added(&keys.old)["proof"].clone();
    let payload = sealbus_core::canonical::write(&forged);
    let event = sealbus_testkit::events::draft("key.added", payload);
    let call = sealbus_ledger::append::Call {
        tenant: sealbus_core::names::Tenant::system(),
        plan: sealbus_core::names::Plan::keys(),
        expect: sealbus_ledger::append::Expect::Any,
        events: vec![event],
    };
    first.append(call).await.unwrap();
    keys.test.seal().await;
    let read = ledger.keys().chain(&keys.before).await.unwrap();
    assert_eq!(read.history(&keys.new).added, Some(KeyEvent { seq: 2, index: Some(1) }));
    assert_eq!(read.window(&keys.new), None);
}

/// A key ends after the transactions that have locked it have committed. Later transactions under the key are refused, also on
/// connections that were open before.
#[tokio::test]
async fn ending_a_key_waits_for_running_appends() {
    use sqlx::Connection;
    let keys = TwoKeys::start().await;
    let mut held = sqlx::PgConnection::connect(&keys.test.postgres.url()).await.unwrap();
    let mut transaction = held.begin().await.unwrap();
    let lock_plans = "SELECT count(*) FROM sealbus.lock_plans('{acme}', '{order-1}', '{-7}', '{}', '{}', false, $1)";
    let plans: i64 = sqlx::query_scalar(lock_plans).bind(keys.old.as_str()).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(plans, 1);
    let ending = tokio::spawn({
        let (ledger, old) = (keys.test.ledger.clone(), keys.old.clone());
        async move { ledger.keys().end(&old, Ending::Revoke).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("ending the key waits for the lock", async || keys.test.postgres.count(waiting).await == 1).await;
    assert_eq!(keys.test.ledger.keys().states().await.unwrap()[&keys.old], KeyState::Signs);
    transaction.commit().await.unwrap();
    ending.await.unwrap().unwrap();
    assert_eq!(keys.test.ledger.keys().states().await.unwrap()[&keys.old], KeyState::Revoked);

    let refused =
        sqlx::query_scalar::<_, i64>(lock_plans).bind(keys.old.as_str()).fetch_one(&mut held).await.unwrap_err();
    assert!(refused.to_string().contains("may not sign"), "{refused}");
    keys.test.ledger.keys().end(&keys.old, Ending::Retire).await.unwrap();
    assert_eq!(
        keys.test.ledger.keys().states().await.unwrap()[&keys.old],
        KeyState::Revoked,
        "a revoked key was retired"
    );
}

/// Every caller gets a definite answer under load: its event is stored, or it is refused and not stored.
#[tokio::test]
async fn every_caller_gets_an_answer_when_the_key_is_ended() {
    let keys = TwoKeys::start().await;
    let appender = keys.appender(&keys.before).await;
    let calls = (0..50).map(|n| appender.append(call("acme", &format!("order-{}", n % 5), vec![draft(n)])));
    let ended = keys.test.ledger.keys().end(&keys.old, Ending::Retire);
    let (answers, ended) = tokio::join!(futures::future::join_all(calls), ended);
    ended.unwrap();
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(AppendError::Key(_)))).count();
    assert_eq!(stored + refused, 50, "{answers:?}");
    let events = keys.test.postgres.count("SELECT count(*) FROM sealbus.events WHERE plan_no > 1").await;
    assert_eq!(events, i64::try_from(stored).unwrap(), "a refused event was stored");
}

#[tokio::test]
async fn live_signers_are_counted_by_key() {
    let keys = TwoKeys::start().await;
    let ledger = &keys.test.ledger;
    let signers = async |kid: &KeyId| ledger.keys().signers().await.unwrap().get(kid).copied().unwrap_or(0);
    let (one, two) = (keys.appender(&keys.before).await, keys.appender(&keys.before).await);
    let other = keys.appender(&keys.after).await;
    eventually("all three appenders are counted", async || {
        signers(&keys.old).await == 2 && signers(&keys.new).await == 1
    })
    .await;
    one.deregister().await;
    assert_eq!(signers(&keys.old).await, 1);
    drop((two, other));
    eventually("dropped appenders are not counted", async || ledger.keys().signers().await.unwrap().is_empty()).await;

    let settings = AppendSettings { lease_duration: Duration::from_millis(300), ..append_settings() };
    let away = keys.test.open_again().await;
    let crashed = Appender::start(&away, &keys.before, &settings, None).unwrap();
    eventually("the appender is counted", async || signers(&keys.old).await == 1).await;
    away.close().await;
    eventually("the membership has expired", async || signers(&keys.old).await == 0).await;
    drop(crashed);
}

#[tokio::test]
async fn unsealed_events_are_counted_by_key() {
    let keys = TwoKeys::start().await;
    keys.appender(&keys.before).await.append(call("acme", "order-1", vec![draft(1), draft(2)])).await.unwrap();
    let unsealed = keys.test.ledger.keys().unsealed().await.unwrap();
    assert_eq!(unsealed.into_iter().collect::<Vec<_>>(), [(keys.old.clone(), 3)]);
    keys.test.seal().await;
    assert!(keys.test.ledger.keys().unsealed().await.unwrap().is_empty());
}

/// The migration that creates table `signing_keys` fills it with the keys of an existing ledger.
#[tokio::test]
async fn the_migration_fills_the_table_with_existing_keys() {
    let keys = TwoKeys::start().await;
    let migration = include_str!("../../../migrations/0008_keys.sql");
    let seeding = migration.split("\n\n").find(|part| part.contains("INSERT INTO sealbus.signing_keys")).unwrap();
    keys.test.postgres.admin("DELETE FROM sealbus.signing_keys").await;
    keys.test.postgres.admin(seeding).await;
    let known = keys.test.ledger.keys().states().await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [(keys.old.clone(), KeyState::Signs)]);
}

#[tokio::test]
async fn events_of_a_plan_that_is_not_sealed_further_are_not_waited_for() {
    let keys = TwoKeys::start().await;
    let ledger = &keys.test.ledger;
    let appender = keys.appender(&keys.before).await;
    appender.append(call("acme", "order-1", vec![draft(1)])).await.unwrap();
    appender.append(call("acme", "damaged", vec![draft(1), draft(2), draft(3)])).await.unwrap();
    let damage = "SET session_replication_role = replica; \
                  UPDATE sealbus.events SET actor = 'mallory' WHERE seq = 2 AND plan_no = \
                  (SELECT plan_no FROM sealbus.plans WHERE plan = 'damaged')";
    keys.test.postgres.admin(damage).await;

    // Until the first event of the damaged plan is sealed, its next event is good. The ledger's first event waits too.
    let before = ledger.keys().sealing(&keys.old).await.unwrap();
    assert_eq!((before.waiting, before.stopped.len()), (5, 0));
    keys.test.seal().await;
    let after = ledger.keys().sealing(&keys.old).await.unwrap();
    assert_eq!(after.waiting, 0);
    assert_eq!(after.stopped.iter().map(|plan| (plan.plan.as_str(), plan.seq)).collect::<Vec<_>>(), [("damaged", 2)]);
    assert!(after.stopped[0].reason.contains("EVENT_HASH"), "{}", after.stopped[0].reason);
    assert_eq!(ledger.keys().sealing(&keys.new).await.unwrap().waiting, 0);
}
