//! The findings of `verify` after a superuser has bypassed the triggers and changed rows, and the sealing of valid events.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use sealbus_core::verify::{Finding, Verdict};
use sealbus_ledger::log::SealingState;
use sealbus_ledger::verification::{Scope, Verified};
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{call, plan, tenant};

async fn ledger_with_two_plans(length: u64) -> TestLedger {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    for name in ["order-1", "order-2"] {
        appender.append(call("acme", name, (1..=length).map(draft).collect())).await.unwrap();
    }
    test
}

async fn verify(test: &TestLedger, scope: Scope) -> (Verified, Vec<Finding>) {
    let verified = test.ledger.verification().verify_chains(&scope, &test.keyring).await.unwrap();
    let findings = verified.findings.clone();
    (verified, findings)
}

/// Changes rows of order-1 with the triggers disabled. Returns verdict and seq of each finding, and checks that all findings are
/// about order-1.
async fn tamper(test: &TestLedger, statement: &str) -> Vec<(Verdict, u64)> {
    let order_1 = "(SELECT plan_no FROM sealbus.plans WHERE plan = 'order-1')";
    test.postgres
        .admin(&format!("SET session_replication_role = replica; {}", statement.replace(":order_1", order_1)))
        .await;
    let (_, findings) = verify(test, Scope::Everything).await;
    assert!(findings.iter().all(|finding| finding.plan == "order-1" && finding.tenant == "acme"), "{findings:?}");
    findings.into_iter().map(|finding| (finding.verdict, finding.seq)).collect()
}

#[tokio::test]
async fn an_unchanged_ledger_has_no_findings() {
    let test = ledger_with_two_plans(5).await;
    let (verified, findings) = verify(&test, Scope::Everything).await;
    assert_eq!((verified.events, verified.plans, findings.len()), (11, 3, 0));
    let (verified, _) = verify(&test, Scope::Tenant(tenant("acme"))).await;
    assert_eq!((verified.events, verified.plans), (10, 2));
    let (verified, _) = verify(&test, Scope::Plan(tenant("acme"), plan("order-2"))).await;
    assert_eq!((verified.events, verified.plans), (5, 1));
}

#[tokio::test]
async fn an_edited_field_is_found() {
    let test = ledger_with_two_plans(5).await;
    let found = tamper(&test, "UPDATE sealbus.events SET actor = 'mallory' WHERE plan_no = :order_1 AND seq = 3").await;
    assert_eq!(found, [(Verdict::EventHash, 3)]);
}

#[tokio::test]
async fn an_edited_payload_is_found() {
    let test = ledger_with_two_plans(5).await;
    let found =
        tamper(&test, "UPDATE sealbus.events SET payload = '{\"n\":99}' WHERE plan_no = :order_1 AND seq = 2").await;
    assert_eq!(found, [(Verdict::PayloadHash, 2)]);
}

#[tokio::test]
async fn edited_metadata_are_found() {
    let test = ledger_with_two_plans(5).await;
    let found =
        tamper(&test, "UPDATE sealbus.events SET metadata = '{\"a\":1}' WHERE plan_no = :order_1 AND seq = 2").await;
    assert_eq!(found, [(Verdict::MetadataHash, 2)]);
}

#[tokio::test]
async fn a_deleted_row_in_the_middle_is_found() {
    let test = ledger_with_two_plans(5).await;
    assert_eq!(
        tamper(&test, "DELETE FROM sealbus.events WHERE plan_no = :order_1 AND seq = 3").await,
        [(Verdict::SeqGap, 3)]
    );
}

#[tokio::test]
async fn a_deleted_first_row_is_found() {
    let test = ledger_with_two_plans(5).await;
    assert_eq!(
        tamper(&test, "DELETE FROM sealbus.events WHERE plan_no = :order_1 AND seq = 1").await,
        [(Verdict::Genesis, 1)]
    );
}

#[tokio::test]
async fn two_swapped_rows_are_found() {
    let test = ledger_with_two_plans(5).await;
    let swap = "UPDATE sealbus.events SET seq = -2 WHERE plan_no = :order_1 AND seq = 2; \
                UPDATE sealbus.events SET seq = 2 WHERE plan_no = :order_1 AND seq = 3; \
                UPDATE sealbus.events SET seq = 3 WHERE plan_no = :order_1 AND seq = -2";
    let found = tamper(&test, swap).await;
    assert_eq!(found.first(), Some(&(Verdict::Link, 2)), "{found:?}");
}

#[tokio::test]
async fn a_rewritten_link_is_found() {
    let test = ledger_with_two_plans(5).await;
    let rewrite = "UPDATE sealbus.events SET prev = sha256('else') WHERE plan_no = :order_1 AND seq = 4";
    assert_eq!(tamper(&test, rewrite).await, [(Verdict::Link, 4)]);
}

#[tokio::test]
async fn a_cut_signature_is_found() {
    let test = ledger_with_two_plans(5).await;
    let cut = "UPDATE sealbus.events SET sig = substr(sig, 1, 63) WHERE plan_no = :order_1 AND seq = 5";
    assert_eq!(tamper(&test, cut).await, [(Verdict::Signature, 5)]);
}

#[tokio::test]
async fn a_renamed_plan_is_found() {
    let test = ledger_with_two_plans(2).await;
    test.postgres
        .admin(
            "SET session_replication_role = replica; UPDATE sealbus.plans SET plan = 'order-9' WHERE plan = 'order-1'",
        )
        .await;
    let (_, findings) = verify(&test, Scope::Everything).await;
    // The row of the plan does not have the partition of the new name.
    let found: Vec<_> = findings.iter().map(|finding| (finding.verdict, finding.seq)).collect();
    assert_eq!(found[..2], [(Verdict::Format, 0), (Verdict::Genesis, 1)], "{findings:?}");
}

/// A row that violates the constraints of the table is a finding. It does not abort the verification.
#[tokio::test]
async fn a_hash_of_the_wrong_length_is_found() {
    let test = ledger_with_two_plans(3).await;
    let cut = "UPDATE sealbus.events SET payload_hash = 'short' WHERE plan_no = :order_1 AND seq = 2";
    assert_eq!(tamper(&test, cut).await, [(Verdict::Format, 2)]);
}

/// Every seal depends on a key, so plan `_keys` is verified together with any plan.
#[tokio::test]
async fn a_tampered_key_event_is_found_with_any_plan() {
    let test = ledger_with_two_plans(1).await;
    test.postgres.admin(
        "SET session_replication_role = replica; UPDATE sealbus.events SET actor = 'mallory' WHERE type = 'key.added'",
    )
    .await;
    let (_, findings) = verify(&test, Scope::Plan(tenant("acme"), plan("order-2"))).await;
    assert!(
        findings.iter().any(|finding| finding.plan == "_keys" && finding.verdict == Verdict::EventHash),
        "{findings:?}"
    );
}

#[tokio::test]
async fn every_event_gets_a_dense_log_index_in_plan_order() {
    let test = ledger_with_two_plans(20).await;
    let mut state = SealingState::default();
    while test.ledger.log().seal_batch(7, &mut state, None).await.unwrap().leaves > 0 {}
    assert_eq!(test.ledger.log().size().await.unwrap(), 41);
    assert_eq!(test.postgres.count("SELECT count(*) FROM sealbus.seal_queue").await, 0);
    assert_eq!(
        test.postgres.count("SELECT count(*) FROM sealbus.log_leaves WHERE leaf_index NOT BETWEEN 0 AND 40").await,
        0
    );
    let disordered = "SELECT count(*) FROM (SELECT leaf_index, lag(leaf_index) OVER (PARTITION BY plan_no ORDER BY seq) AS before \
                      FROM sealbus.log_leaves) l WHERE before > leaf_index";
    assert_eq!(test.postgres.count(disordered).await, 0);
    let first = test.ledger.history().log_page(None, 0, 1).await.unwrap().records;
    assert_eq!(first[0].header.event_type, "key.added", "leaf 0 is not the first key of the ledger");
    assert!(verify(&test, Scope::Everything).await.1.is_empty());
}

#[tokio::test]
async fn two_sealers_at_once_give_every_event_one_leaf() {
    let test = ledger_with_two_plans(200).await;
    let seal = async || {
        let mut leaves = 0;
        while test.postgres.count("SELECT count(*) FROM sealbus.seal_queue").await > 0 {
            leaves += test.ledger.log().seal_batch(10, &mut SealingState::default(), None).await.unwrap().leaves;
        }
        leaves
    };
    let (one, other) = tokio::join!(seal(), seal());
    assert_eq!(one + other, 401);
    assert_eq!(test.ledger.log().size().await.unwrap(), 401);
}

/// An invalid event stops the sealing of its plan, and of no other plan.
#[tokio::test]
async fn an_invalid_event_stops_the_sealing_of_its_plan_only() {
    let test = ledger_with_two_plans(5).await;
    test.postgres
        .admin(
            "SET session_replication_role = replica; UPDATE sealbus.events SET actor = 'mallory' \
         WHERE seq = 3 AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = 'order-1')",
        )
        .await;
    let mut state = SealingState::default();
    let sealed = test.ledger.log().seal_batch(100, &mut state, None).await.unwrap();
    assert_eq!(sealed.leaves, 8, "the key, two of order-1, five of order-2");
    assert_eq!(sealed.stopped.len(), 1);
    assert_eq!((sealed.stopped[0].plan.as_str(), sealed.stopped[0].seq), ("order-1", 3));
    assert!(sealed.stopped[0].reason.contains("EVENT_HASH"), "{}", sealed.stopped[0].reason);
    test.appender().await.append(call("acme", "order-2", vec![draft(9)])).await.unwrap();
    assert_eq!(test.ledger.log().seal_batch(100, &mut state, None).await.unwrap().leaves, 1);
}

/// An event whose seal does not match the suite of its key is never added to the log.
#[tokio::test]
async fn an_event_whose_signature_was_stripped_gets_no_leaf() {
    let test = ledger_with_two_plans(2).await;
    test.postgres
        .admin(
            "SET session_replication_role = replica; UPDATE sealbus.events SET sig = '' \
         WHERE seq = 2 AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = 'order-1')",
        )
        .await;
    let sealed = test.ledger.log().seal_batch(100, &mut SealingState::default(), None).await.unwrap();
    assert_eq!(sealed.leaves, 4, "the key, one of order-1, two of order-2");
    assert!(sealed.stopped[0].reason.contains("SUITE"), "{}", sealed.stopped[0].reason);
}

/// The wait for sealing ends after its timeout, so that a verification can report its findings.
#[tokio::test]
async fn waiting_for_sealing_ends_after_its_timeout() {
    let test = ledger_with_two_plans(1).await;
    let brief = std::time::Duration::from_millis(50);
    assert!(!test.ledger.log().wait_until_sealed(brief / 10, brief).await.unwrap());
    while test.ledger.log().seal_batch(100, &mut SealingState::default(), None).await.unwrap().leaves > 0 {}
    assert!(test.ledger.log().wait_until_sealed(brief / 10, brief).await.unwrap());
}
