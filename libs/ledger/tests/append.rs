//! The guarantees of append, tested on a real Postgres and with two replicas where that matters.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::event::Header;
use sealbus_ledger::LedgerError;
use sealbus_ledger::append::{AppendError, AppendSettings, Appender, Expect};
use sealbus_ledger::history::PageQuery;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{ORIGIN, append_settings, call, plan, tenant};
use sealbus_testkit::{Postgres, TestLedger};
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn thirty_two_callers_on_two_replicas_make_one_chain() {
    let test = TestLedger::start().await;
    let replicas = [test.appender().await, test.appender().await];
    let mut callers = Vec::new();
    for caller in 0..32 {
        let replica = replicas[caller % 2].clone();
        callers.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for n in 0..10 {
                let appended = replica.append(call("acme", "order-1", vec![draft(n)])).await.unwrap();
                assert!(appended[0].new);
                ids.push(appended[0].record.header.event_id);
            }
            ids
        }));
    }
    let mut acknowledged = HashSet::new();
    for caller in callers {
        acknowledged.extend(caller.await.unwrap());
    }
    let page = test
        .ledger
        .history()
        .page(&tenant("acme"), &plan("order-1"), &PageQuery { limit: 1_000, ..PageQuery::default() })
        .await
        .unwrap();
    assert_eq!(page.head, 320);
    let mut prev = Header::genesis(ORIGIN, "acme", "order-1");
    for (at, record) in page.records.iter().enumerate() {
        assert_eq!(record.header.seq, at as u64 + 1, "the plan has a gap");
        assert_eq!(record.header.prev, prev, "the plan has a fork");
        assert_eq!(record.header.hash(), record.event_hash);
        prev = record.event_hash;
    }
    assert_eq!(acknowledged, page.records.iter().map(|record| record.header.event_id).collect());
    assert_eq!(test.postgres.count("SELECT count(*) FROM sealbus.outbox WHERE plan_no > 1").await, 320);
    assert_eq!(test.postgres.count("SELECT count(*) FROM sealbus.seal_queue WHERE plan_no > 1").await, 320);
}

#[tokio::test]
async fn queue_ids_rise_with_seq_within_each_plan() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let calls = (0..40).map(|at| appender.append(call("acme", &format!("p{}", at % 5), (0..7).map(draft).collect())));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    for queue in ["outbox", "seal_queue"] {
        let disordered = format!(
            "SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY plan_no ORDER BY seq) AS before FROM sealbus.{queue}) q WHERE before > id"
        );
        assert_eq!(test.postgres.count(&disordered).await, 0, "{queue}");
    }
}

#[tokio::test]
async fn an_id_is_stored_once() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let event = draft(1);
    let first = appender.append(call("acme", "p", vec![event.clone()])).await.unwrap();
    let again = appender.append(call("acme", "p", vec![event.clone()])).await.unwrap();
    assert!(first[0].new && !again[0].new);
    assert_eq!(first[0].record, again[0].record, "a repeated append did not return the first record");

    let other_content = draft_with_id(2, event.event_id);
    let refused = appender.append(call("acme", "p", vec![other_content])).await.unwrap_err();
    assert!(matches!(refused, AppendError::IdConflict(id) if id == event.event_id), "{refused}");
    let refused = appender.append(call("acme", "other-plan", vec![event.clone()])).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::IdConflict(id) if id == event.event_id),
        "the same event in another plan was refused with the wrong error: {refused}"
    );
    assert!(
        appender.append(call("other", "p", vec![event])).await.unwrap()[0].new,
        "an id of another tenant was refused"
    );
}

#[tokio::test]
async fn callers_with_one_id_and_equal_content_share_one_event() {
    let test = TestLedger::start().await;
    let replicas = [test.appender().await, test.appender().await];
    let event = draft(1);
    let calls = (0..32).map(|at| replicas[at % 2].append(call("acme", "p", vec![event.clone()])));
    let answers: Vec<_> =
        futures::future::join_all(calls).await.into_iter().map(|answer| answer.unwrap().remove(0)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.new).count(), 1);
    assert!(answers.iter().all(|answer| answer.record.event_hash == answers[0].record.event_hash));
}

#[tokio::test]
async fn a_call_skips_stored_events_and_is_otherwise_atomic() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let events: Vec<_> = (0..3).map(draft).collect();
    appender.append(call("acme", "p", events[..2].to_vec())).await.unwrap();
    let answers = appender.append(call("acme", "p", events.clone())).await.unwrap();
    assert_eq!(
        answers.iter().map(|answer| (answer.new, answer.record.header.seq)).collect::<Vec<_>>(),
        [(false, 1), (false, 2), (true, 3)]
    );

    let conflicting = vec![draft(9), draft_with_id(10, events[0].event_id)];
    assert!(matches!(appender.append(call("acme", "p", conflicting)).await, Err(AppendError::IdConflict(_))));
    let twice = vec![events[0].clone(), events[0].clone()];
    assert!(matches!(appender.append(call("acme", "p", twice)).await, Err(AppendError::DuplicateId(_))));
    assert_eq!(
        test.postgres.count("SELECT count(*) FROM sealbus.events WHERE plan_no > 1").await,
        3,
        "an event of a refused array was stored"
    );
}

/// Append refuses an event that the sealer would refuse, because a stored event can never be removed.
#[tokio::test]
async fn an_event_outside_the_limits_of_the_seal_is_refused() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    for actor in ["with a\ttab".to_owned(), "x".repeat(256)] {
        let invalid = sealbus_ledger::append::Draft { actor, ..draft(1) };
        let refused = appender.append(call("acme", "p", vec![invalid])).await.unwrap_err();
        assert!(matches!(refused, AppendError::Invalid(_)), "{refused}");
    }
    assert_eq!(test.postgres.count("SELECT count(*) FROM sealbus.events WHERE plan_no > 1").await, 0);
}

#[tokio::test]
async fn a_call_with_another_expected_head_is_refused() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let expecting = |expect, n| {
        let mut request = call("acme", "p", vec![draft(n)]);
        request.expect = expect;
        appender.append(request)
    };
    expecting(Expect::Empty, 1).await.unwrap();
    for expect in [Expect::Empty, Expect::Head(7)] {
        let refused = expecting(expect, 2).await.unwrap_err();
        assert!(matches!(refused, AppendError::HeadMismatch(1)), "{expect:?}: {refused}");
    }
    expecting(Expect::Head(1), 2).await.unwrap();
    assert_eq!(test.postgres.count("SELECT max(seq) FROM sealbus.events WHERE plan_no > 1").await, 2);
}

/// Two batches with the same two ids in opposite order would deadlock if each inserted them in the order of its array.
#[tokio::test]
async fn swapped_ids_in_two_batches_do_not_deadlock() {
    let test = TestLedger::start().await;
    let replicas = [test.appender().await, test.appender().await];
    for round in 0..20 {
        let (a, b) = (draft(1), draft(2));
        let x = format!("x{round}");
        let y = format!("y{round}");
        // Each replica appends to a different plan, so that only the ids conflict.
        let (left, right) = tokio::join!(
            replicas[0].append(call("acme", &x, vec![a.clone(), b.clone()])),
            replicas[1].append(call("acme", &y, vec![b, a])),
        );
        let outcomes = [left.is_ok(), right.is_ok()];
        assert_eq!(
            outcomes.iter().filter(|ok| **ok).count(),
            1,
            "expected one success and one id conflict: {outcomes:?}"
        );
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(test.postgres.count(deadlocks).await, 0);
}

/// Only calls to a plan whose lock is held elsewhere have to wait, and they keep their order.
#[tokio::test]
async fn a_locked_plan_does_not_delay_other_plans() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let mut blocker = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    let key = sealbus_core::partition::PlanKey::of("acme", "busy").lock_key();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut blocker).await.unwrap();

    let mut waiting = Vec::new();
    for n in 0..10 {
        let appender = appender.clone();
        waiting.push(tokio::spawn(async move {
            appender.append(call("acme", "busy", vec![draft(n)])).await.unwrap().remove(0)
        }));
        tokio::task::yield_now().await;
    }
    for n in 0..20 {
        appender.append(call("acme", &format!("free-{n}"), vec![draft(n)])).await.unwrap();
    }
    assert!(waiting.iter().all(|call| !call.is_finished()), "a call to the locked plan has finished");
    let metrics = appender.metrics();
    assert_eq!(metrics.waiting_events.get(), 10);
    assert!(metrics.deferrals.get() > 0, "calls to the locked plan were put back");
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut blocker).await.unwrap();
    let mut seqs = Vec::new();
    for call in waiting {
        seqs.push(call.await.unwrap().record.header.seq);
    }
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
    assert!(metrics.alone.get() > 0, "a call to the locked plan waited alone");
    sealbus_testkit::eventually_eq("the waiting events", 0, async || metrics.waiting_events.get()).await;
}

#[tokio::test]
async fn a_call_fails_after_the_lock_timeout_and_succeeds_when_the_lock_is_free() {
    let test = TestLedger::start().await;
    let settings = AppendSettings { lock_timeout: Duration::from_millis(50), ..append_settings() };
    let appender = Appender::start(&test.ledger, &test.keyring, &settings, None).unwrap();
    let mut blocker = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    let key = sealbus_core::partition::PlanKey::of("acme", "busy").lock_key();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut blocker).await.unwrap();
    let refused = appender.append(call("acme", "busy", vec![draft(1)])).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable(_)), "{refused}");
    blocker.close().await.unwrap();
    appender.append(call("acme", "busy", vec![draft(1)])).await.unwrap();
}

/// A cancelled wait for a standby commits on the primary and perhaps nowhere else, so the call is not acknowledged. A
/// repeated call finds the stored event.
#[tokio::test]
async fn a_commit_that_a_standby_may_lack_is_not_acknowledged() {
    let postgres = Postgres::own_cluster().await;
    let test = TestLedger::create(postgres, ORIGIN).await;
    let appender = Arc::new(test.appender().await);
    let event = draft(1);
    test.postgres.admin("ALTER SYSTEM SET synchronous_standby_names = 'missing'; ").await;
    test.postgres.admin("SELECT pg_reload_conf()").await;
    let waiting = {
        let (appender, event) = (appender.clone(), event.clone());
        tokio::spawn(async move { appender.append(call("acme", "p", vec![event])).await })
    };
    // Cancels the commit while it waits for the missing standby. The renewal of a lease may wait too.
    let cancel =
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    sealbus_testkit::eventually("the commit's wait for a standby is cancelled", async || {
        test.postgres.count(cancel).await > 0
    })
    .await;
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(&refused, AppendError::Unavailable(cause) if matches!(**cause, LedgerError::OutcomeUnknown(_))),
        "{refused:?}"
    );
    assert_eq!(appender.metrics().unknown_outcomes.get(), 1);
    // A repeated call finds the stored event.
    test.postgres.admin("ALTER SYSTEM RESET synchronous_standby_names").await;
    test.postgres.admin("SELECT pg_reload_conf()").await;
    let answer = appender.append(call("acme", "p", vec![event])).await.unwrap();
    assert!(!answer[0].new, "the event was stored again");
}

fn draft_with_id(n: u64, event_id: uuid::Uuid) -> sealbus_ledger::append::Draft {
    sealbus_ledger::append::Draft { event_id, ..draft(n) }
}
