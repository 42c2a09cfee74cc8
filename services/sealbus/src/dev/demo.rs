//! The demonstration: publishes settlement plans with all fifteen event types, and shows what was stored, delivered and
//! verified.

use std::time::Duration;

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use sealbus_client::{Client, ClientConfig, NewEvent, TrailQuery};
use sealbus_core::catalog::SettlementType::{
    self, InstrumentAcknowledged, InstrumentDispatched, InstrumentReady, ParticipantsAuthorized, PaymentAccepted,
    PaymentDispatched, PaymentReady, PaymentSettled, PreconditionsSatisfied, TransactionAborted, TransactionCommitted,
    TransactionCreated, TransactionPrepared, TransactionUnwindInitiated, TransactionValidated,
};
use sealbus_core::clock::Clock as _;
use sealbus_core::names::Subscription;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::verification::Scope;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::table;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::environment::Environment;
use crate::failure::Failure;
use crate::output::{EVENT_COLUMNS, event_row, print, printed_table, progress};
use crate::wiring;

/// Number of plans to publish.
const PLANS: u64 = 300;
/// Number of plans that are published in parallel, over all replicas.
const PARALLEL_PLANS: usize = 16;
/// The pause between the events of a plan, so that a person can watch the progress.
const PAUSE: Duration = Duration::from_millis(25);

/// Returns the events of a plan. Of seven transactions, one is aborted before anything was dispatched, and one is unwound
/// afterwards.
fn events_of(plan: u64) -> Vec<SettlementType> {
    // The types are declared in the order of a transaction; the last two replace its end.
    let committed = &SettlementType::ALL[..13];
    match plan % 7 {
        3 => [&committed[..4], &[TransactionAborted]].concat(),
        6 => [&committed[..9], &[TransactionUnwindInitiated]].concat(),
        _ => committed.to_vec(),
    }
}

/// Returns the data of an event. The match is exhaustive, so that a new type has to be added here.
fn data(event_type: SettlementType, plan: u64) -> Value {
    let amount = format!("{}.{:02}", 100 + plan * 17 % 900, plan * 7 % 100);
    let transaction = json!({"transaction_id": format!("tx-{plan}")});
    let instrument = json!({"instrument": {"id": format!("bond-{}", plan % 12), "kind": "bond"}, "custodian": "csd-1"});
    let payment = json!({"amount": amount, "currency": "EUR", "rail": "instant"});
    match event_type {
        TransactionCreated => json!({
            "transaction_id": format!("tx-{plan}"), "amount": amount, "currency": "EUR",
            "participants": [{"id": "bank-a", "role": "payer"}, {"id": "bank-b", "role": "payee"}],
        }),
        ParticipantsAuthorized => json!({"participants": [{"id": "bank-a"}, {"id": "bank-b"}]}),
        PreconditionsSatisfied => json!({"conditions": [{"name": "kyc"}, {"name": "limits"}]}),
        InstrumentReady | InstrumentDispatched | InstrumentAcknowledged => instrument,
        PaymentReady | PaymentDispatched | PaymentAccepted | PaymentSettled => payment,
        TransactionPrepared | TransactionValidated | TransactionCommitted => transaction,
        TransactionAborted => json!({"transaction_id": format!("tx-{plan}"), "reason": "a participant withdrew"}),
        TransactionUnwindInitiated => {
            json!({"transaction_id": format!("tx-{plan}"), "reason": "the payment rail returned the order"})
        }
    }
}

/// Publishes the plans, and prints a trail, what was delivered, and a verification.
pub(super) async fn run(environment: &Environment) -> Result<(), Failure> {
    let settings = environment.settings(&[])?;
    let urls = settings.require(table::URLS)?;
    let client = Client::new(ClientConfig::new(urls.clone(), settings.require(table::TOKEN)?.expose_secret()))?;
    // Persistent data contains the plans of earlier demonstrations, so each run uses new names.
    let run = SystemClock.unix_seconds();
    let name = |plan: u64| format!("demo-{run}-{plan}");

    let events: u64 = (0..PLANS).map(|plan| events_of(plan).len() as u64).sum();
    print(format_args!(
        "Publishing {events} events of {PLANS} settlement plans to {} replicas, {PARALLEL_PLANS} plans in parallel:",
        urls.len()
    ))?;
    let bar = progress(events, "publishing");
    stream::iter(0..PLANS)
        .map(|plan| {
            let (client, bar, name) = (&client, &bar, name(plan));
            async move {
                for event_type in events_of(plan) {
                    client.publish(&name, &NewEvent::new(event_type.as_str(), data(event_type, plan))).await?;
                    bar.inc(1);
                    tokio::time::sleep(PAUSE).await;
                }
                Ok::<_, Failure>(())
            }
        })
        .buffer_unordered(PARALLEL_PLANS)
        .try_collect::<()>()
        .await?;
    bar.finish_and_clear();

    print(format_args!("\nThe trail of {}, a transaction that was unwound:", name(6)))?;
    let page = client.trail(&name(6), &TrailQuery::default()).await?;
    print(printed_table(&EVENT_COLUMNS).add_rows(page.events.iter().map(event_row)))?;

    let ledger = wiring::open_ledger(&settings).await?;
    show_delivery(&ledger).await?;
    show_verification(&ledger, &wiring::keyring(&settings)?).await?;
    ledger.close().await;
    print(format_args!(
        "\nTo see tampering detected, run this in another shell with the variables below:\n  \
         psql \"$SEALBUS_ADMIN_DATABASE_URL\" -c \"SET session_replication_role = replica; UPDATE sealbus.events SET actor = 'nobody' \
         WHERE seq = 3 AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = '{}')\"\n  \
         sealbus verify --all          (ends with status 3 and names the event)",
        name(6)
    ))?;
    Ok(())
}

/// Waits until audit storage has received everything, and prints what each subscription has applied and what is blocked.
async fn show_delivery(ledger: &Ledger) -> Result<(), Failure> {
    let audit_storage = Subscription::parse("audit-storage")?;
    let counts = ledger.subscriptions().counts().await?;
    if counts.iter().any(|count| count.subscription == audit_storage.as_str()) {
        while ledger.subscriptions().undelivered(&audit_storage).await? > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    print(
        "\nDelivered, by subscription (a failed plan does not block others; `sealbus dead-letters list` prints dead letters):",
    )?;
    let rows = ledger.subscriptions().counts().await?.into_iter().map(|count| {
        let [plans, passed, parked, dead] =
            [count.plans, count.passed, count.parked, count.dead].map(|n| n.to_string());
        [count.subscription, plans, passed, parked, dead]
    });
    let columns = ["subscription", "plans", "events passed", "plans parked", "plans dead"];
    print(printed_table(&columns).add_rows(rows))?;
    Ok(())
}

async fn show_verification(ledger: &Ledger, keyring: &Keyring) -> Result<(), Failure> {
    let verified = ledger.verification().verify_chains(&Scope::Everything, keyring).await?;
    for finding in &verified.findings {
        print(format_args!("{} {}", finding.verdict, finding.place()))?;
    }
    let found = match verified.findings.len() {
        0 => "no findings".to_owned(),
        findings => format!("{findings} findings"),
    };
    print(format_args!("\nVerified {} events in {} plans: {found}.", verified.events, verified.plans))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sealbus_core::canonical::Text;
    use sealbus_core::catalog::Catalog;

    use super::*;

    #[test]
    fn the_demonstration_publishes_every_type_with_valid_data() {
        let catalog = Catalog::read(&[]).unwrap();
        let mut used = BTreeSet::new();
        for plan in 0..PLANS {
            for event_type in events_of(plan) {
                used.insert(event_type);
                let rule = catalog.resolve(event_type.as_str(), 1).unwrap();
                assert!(
                    rule.validate(Text::from(&data(event_type, plan)).node()).is_empty(),
                    "{event_type} of plan {plan}"
                );
            }
        }
        assert_eq!(used.len(), SettlementType::ALL.len());
    }
}
