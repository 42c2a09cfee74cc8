//! `sealbus dead-letters`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_testkit::eventually;
use tokio::process::Command;

use crate::support::{Bus, SEALBUS, client, load};

/// An invalid name is a usage error, which is reported without opening the ledger.
#[tokio::test]
async fn invalid_names_are_usage_errors() {
    let run = |arguments: &[&str], tenant: &str| {
        let mut command = Command::new(SEALBUS);
        command.args(arguments).env_clear().env("SEALBUS_TENANT", tenant).output()
    };
    let reason = ["--reason", "none"];
    for (arguments, tenant, message) in [
        (&["dead-letters", "show", "Picky", "p"][..], "acme", "subscription must be"),
        (&["dead-letters", "show", "picky", "a/b"], "acme", "plan must be"),
        (&["dead-letters", "show", "picky", "p", "--tenant", "A"], "acme", "tenant must be"),
        (&["dead-letters", "show", "picky", "p"], "A", "SEALBUS_TENANT: tenant must be"),
        (&["dead-letters", "show", "picky", "p"], "", "no tenant: give --tenant or set SEALBUS_TENANT"),
        (&[&["dead-letters", "redrive", "picky", ".p"], &reason[..]].concat(), "acme", "plan must be"),
        (&[&["dead-letters", "skip", "picky-1", "p"], &reason[..]].concat(), "acme", "subscription must be"),
        (&["dead-letters", "list", "--subscription", "1"], "acme", "subscription must be"),
        (&["dead-letters", "list", "--tenant", "-"], "acme", "tenant must be"),
        (&["verify", "--plan", "a/b"], "acme", "plan must be"),
        (&["verify", "--plan", "p"], "A", "SEALBUS_TENANT: tenant must be"),
        (&["verify", "--tenant", "A"], "acme", "tenant must be"),
        (&["inspect", "0196A1B2-0000-7000-8000-000000000000"], "acme", "must be a UUID in lower case with dashes"),
    ] {
        let output = run(arguments, tenant).await.unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {printed}");
        assert!(printed.contains(message), "{arguments:?}: {printed}");
    }
}

/// An operator's decision carries scheme v1 if the tenant does, as the events of a publisher do.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_appended_with_the_tenants_scheme() {
    let mut bus = Bus::start().await;
    let subscriptions = bus.folder.path().join("picky.yaml");
    std::fs::write(
        &subscriptions,
        "subscriptions:\n  picky:\n    types: [test.*]\n    retry: { attempts: 1, backoff: fixed, initial: 10ms }\n    \
         sink: { flaky: { plans: [\"*\"], fails: always } }\n",
    )
    .unwrap();
    bus.set("SEALBUS_SUBSCRIPTIONS", &subscriptions.display().to_string());
    bus.set("SEALBUS_V1_TENANTS", "other,test");
    let mut roles = Vec::new();
    for name in ["publisher", "relay", "dispatcher"] {
        roles.push(bus.role(name).await);
    }
    load(&client(&roles), 1, 1).await;
    eventually("the event is a dead letter", async || {
        let (status, printed) = bus.run(&["dead-letters", "list", "-o", "json"]).await;
        assert_eq!(status, 0, "{printed}");
        printed.contains(r#""plan":"plan-0""#)
    })
    .await;
    let (status, printed) = bus.run(&["dead-letters", "skip", "picky", "plan-0", "--reason", "a test"]).await;
    assert_eq!(status, 0, "{printed}");
    let decisions = "SELECT count(*) FROM sealbus.events e JOIN sealbus.plans USING (plan_no) \
                     WHERE plan = '_deliveries' AND e.v1_signature IS NOT NULL";
    assert_eq!(bus.count(decisions).await, 1);
}
