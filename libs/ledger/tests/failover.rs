//! A promoted standby that lacks acknowledged events: nothing is appended or signed until an operator has confirmed it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::LedgerError;
use sealbus_ledger::append::{AppendError, Appender};
use sealbus_ledger::log::{SealingState, Signing};
use sealbus_ledger::server_history::ConfirmError;
use sealbus_testkit::ledger::{ORIGIN, append, append_settings, call, open};
use sealbus_testkit::{Postgres, Proxy, TestLedger, events};

#[tokio::test]
async fn a_promoted_standby_appends_nothing_until_it_is_confirmed() {
    let mut test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let appender = test.appender().await;
    let ledger = test.ledger.clone();
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;
    let before = ledger.server_history().current().await.unwrap().unwrap();
    assert_eq!(ledger.server_history().confirmed().await.unwrap(), std::slice::from_ref(&before));
    assert_eq!(ledger.server_history().changes(), 0);

    // Event 2 is acknowledged, and the standby that takes over lacks it.
    test.postgres.leave_standby_behind().await;
    append(&appender, "acme", "p", vec![events::numbered(2)]).await;
    test.postgres.fail_over().await;

    let refused = appender.append(call("acme", "p", vec![events::numbered(3)])).await.unwrap_err();
    let AppendError::OtherHistory(error) = &refused else { panic!("{refused:?}") };
    let LedgerError::OtherHistory { current, confirmed: Some(confirmed) } = &**error else { panic!("{error:?}") };
    assert_eq!((confirmed, &current.system_identifier), (&before, &before.system_identifier));
    assert!(current.timeline > before.timeline, "{current}");
    assert_eq!(appender.metrics().refused_after_failover.get(), 1);
    let sealed = ledger.log().seal_batch(1_000, &mut SealingState::default(), None).await.unwrap_err();
    assert!(matches!(sealed, LedgerError::OtherHistory { .. }), "{sealed}");
    let (signer, anchored) =
        (LogSigner::new(&test.keyring, ORIGIN).unwrap(), Checkpoint::new(ORIGIN, 0, empty_root()).unwrap());
    let signing = Signing { signer: &signer, anchored: &anchored, time: 1_000 };
    let newest = ledger.log().sign_newest(signing, &ledger.log().basis().await.unwrap()).await.unwrap_err();
    assert!(matches!(newest, LedgerError::OtherHistory { .. }), "{newest}");
    assert_eq!(ledger.server_history().changes(), 1);
    assert!(ledger.server_history().is_unconfirmed());
    let plan_no = ledger.history().plan_no("acme", "p").await.unwrap();
    assert!(plan_no.is_some(), "reading goes on");

    // A replica that starts now refuses too.
    let other = test.appender().await;
    let refused = other.append(call("acme", "p", vec![events::numbered(4)])).await.unwrap_err();
    assert!(matches!(refused, AppendError::OtherHistory(_)), "{refused}");

    let histories = ledger.server_history();
    let no_reason = histories.confirm(&appender, "ops", "").await.unwrap_err();
    assert!(matches!(no_reason, ConfirmError::Reason), "{no_reason}");
    let confirmed = histories.confirm(&appender, "ops", "compared with the stream").await.unwrap();
    assert_eq!(&confirmed, current);
    let next = append(&other, "acme", "p", vec![events::numbered(4)]).await.remove(0);
    assert_eq!(next.header.seq, 2, "the place of the lost event");
    test.seal().await;
    assert!(!ledger.server_history().is_unconfirmed());
    let (tenant, plan) = (Tenant::system(), Plan::ledger());
    let plan_no = ledger.history().plan_no(tenant.as_str(), plan.as_str()).await.unwrap();
    assert!(plan_no.is_some(), "the confirmation is an event");
}

#[tokio::test]
async fn a_replaced_server_that_goes_on_gets_no_more_events() {
    let mut test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let promoted = test.postgres.promoted_copy().await;
    let proxy = Proxy::start(&test.postgres.url()).await;
    let ledger = open(proxy.url()).await;
    let appender = Appender::start(&ledger, &test.keyring, &append_settings(), None).unwrap();
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;

    // Other connections of the process reach the promoted server, while the batcher has one to the server before.
    proxy.redirect(&promoted.url());
    let reads = (0..6).map(|_| ledger.log().size());
    futures::future::join_all(reads).await;
    assert_eq!(ledger.server_history().changes(), 1);
    let refused = appender.append(call("acme", "p", vec![events::numbered(2)])).await.unwrap_err();
    assert!(matches!(refused, AppendError::OtherHistory(_)), "{refused}");

    // Where the server before is reached again, its history is the confirmed one.
    proxy.redirect(&test.postgres.url());
    append(&appender, "acme", "p", vec![events::numbered(2)]).await;
    assert_eq!(promoted.count("SELECT count(*) FROM sealbus.events WHERE tenant = 'acme'").await, 0);
}
