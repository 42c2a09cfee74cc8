//! `sealbus erase`: destroys a data subject's keys, and reports where copies of the erased events are.
//!
//! The report names keys, counts and days, never the subject.

use std::io::BufRead;

use sealbus_core::clock::Clock as _;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::Tenant;
use sealbus_dispatcher::{Declared, file};
use sealbus_ledger::append::Appender;
use sealbus_ledger::data_keys::{Affected, Erasure, ErasureRequest, Passed, vacuum_data_keys};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::{ActorArgs, TenantArgs};
use crate::failure::Failure;
use crate::output::{Output, print, printed_table};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Data subject, as events name it; `-` reads it from standard input, which keeps it out of process lists and the
    /// shell's history
    #[arg(long)]
    subject: String,
    #[command(flatten)]
    tenant: TenantArgs,
    /// Reason, recorded permanently in the event; it must not name the subject
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let tenant = args.tenant.require(&settings)?;
    // The tenant of Sealbus itself has no data subjects.
    let tenant = Tenant::parse(tenant.as_str()).map_err(|error| Failure::usage(error.to_string()))?;
    let request =
        ErasureRequest { subject: read_subject(&args.subject)?, actor: args.actor.actor, reason: args.reason, tenant };
    // The file is read before anything is erased, because the report would be incomplete without it.
    let declared = settings.find(table::SUBSCRIPTIONS).map(|path| file::load(&path)).transpose()?.unwrap_or_default();
    let keyring = wiring::keyring(&settings)?;
    let ledger = wiring::open_ledger(&settings).await?;
    let erase = async |appender: &Appender| ledger.data_keys().erase(appender, &request).await;
    let erasure = wiring::with_appender(&ledger, &keyring, &settings, erase).await?;
    let vacuumed = match settings.find(table::OWNER_DATABASE_URL) {
        Some(owner) => vacuum_data_keys(owner.expose()).await.is_ok(),
        None => false,
    };
    let report = Report {
        affected: ledger.data_keys().affected(&request.tenant, &erasure.keys).await?,
        subscriptions: affected_subscriptions(
            ledger.data_keys().passed(&request.tenant, &erasure.keys).await?,
            &declared,
            &request.tenant,
        ),
        vacuumed,
        backups_expire: settings
            .find(table::BACKUP_RETENTION)
            .and_then(|retention| SystemClock.now().checked_add(retention))
            .map(|time| time.to_string().chars().take("2026-01-31".len()).collect()),
        tenant: request.tenant,
        erasure,
    };
    match args.output {
        Output::Json => print(report.to_json()),
        Output::Table => report.print(),
    }
}

/// Returns the given subject, or the first line of standard input for `-`. An error does not repeat the subject.
fn read_subject(given: &str) -> Result<DataSubject, Failure> {
    let mut line = String::new();
    let name = if given == "-" {
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n'])
    } else {
        given
    };
    DataSubject::parse(name).map_err(|error| Failure::usage(format!("--subject: {error}")))
}

struct AffectedSubscription {
    subscription: String,
    /// A description of the sink, or `None` if the subscriptions file does not declare the subscription.
    sink: Option<String>,
    events: u64,
}

/// Counts the erased events that each subscription has passed. A subscription that is not declared is assumed to have
/// received all events that it passed.
fn affected_subscriptions(passed: Vec<Passed>, declared: &[Declared], tenant: &Tenant) -> Vec<AffectedSubscription> {
    let mut affected: Vec<AffectedSubscription> = Vec::new();
    for Passed { subscription, event_type, events } in passed {
        let declaration = declared.iter().find(|declared| declared.spec.name.as_str() == subscription);
        if declaration.is_some_and(|declared| !declared.spec.runs_for(tenant.as_str(), &event_type)) {
            continue;
        }
        match affected.last_mut().filter(|affected| affected.subscription == subscription) {
            Some(affected) => affected.events += events,
            None => affected.push(AffectedSubscription {
                sink: declaration.map(|declared| declared.sink.describe()),
                subscription,
                events,
            }),
        }
    }
    affected
}

struct Report {
    tenant: Tenant,
    erasure: Erasure,
    affected: Affected,
    subscriptions: Vec<AffectedSubscription>,
    /// Whether the freed space of the data keys' table was vacuumed.
    vacuumed: bool,
    /// The day, in UTC, on which the last backup with the wrapped keys expires, if the retention is configured.
    backups_expire: Option<String>,
}

impl Report {
    fn to_json(&self) -> Value {
        let Affected { events, plans, waiting } = self.affected;
        let subscriptions = self.subscriptions.iter().map(|AffectedSubscription { subscription, sink, events }| {
            json!({"subscription": subscription, "sink": sink, "events": events, "holds": "envelopes"})
        });
        json!({
            "tenant": self.tenant.as_str(), "keys": self.erasure.keys, "redone": self.erasure.redone,
            "events": events, "plans": plans,
            "broker": { "events": events - waiting.min(events), "holds": "envelopes" },
            "subscriptions": subscriptions.collect::<Vec<_>>(),
            "vacuumed": self.vacuumed,
            "backups": { "expire": self.backups_expire, "hold": "wrapped keys, and the subject's name beside them" },
        })
    }

    fn print(&self) -> Result<(), Failure> {
        let Affected { events, plans, waiting } = self.affected;
        let keys = self.erasure.keys.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ");
        let sent = events - waiting.min(events);
        let mut printed = printed_table(&["copy", "state"]);
        let mut row = |copy: &str, state: String| {
            printed.add_row([copy.to_owned(), state]);
        };
        if keys.is_empty() {
            row("data keys", format!("nothing to erase: tenant {} has no keys of this subject", self.tenant));
        } else {
            row("data keys", format!("destroyed: {keys}"));
        }
        if self.erasure.redone > 0 {
            row("earlier erasures", format!("repeated: {} keys had been restored", self.erasure.redone));
        }
        row("events", format!("{events} in {plans} plans cannot be read any more; their chains and proofs stay valid"));
        row("broker's stream", format!("at most {sent} messages, which hold envelopes only: nothing to purge"));
        for affected in &self.subscriptions {
            let sink = affected.sink.as_deref().unwrap_or("a sink that SEALBUS_SUBSCRIPTIONS does not declare");
            let copy = format!("subscription {}", affected.subscription);
            row(&copy, format!("{} events, envelopes only, in {sink}", affected.events));
        }
        let space = if self.vacuumed {
            "vacuumed"
        } else {
            "freed by the next autovacuum; immediately with SEALBUS_OWNER_DATABASE_URL set, or by VACUUM sealbus.data_keys"
        };
        row("space of the keys' table", space.to_owned());
        let backups = match &self.backups_expire {
            Some(day) => format!("the last backup that holds the wrapped keys expires on {day}"),
            None => "unknown: set SEALBUS_BACKUP_RETENTION to the retention of backups and archived WAL, such as 35d"
                .to_owned(),
        };
        row("backups", backups);
        print(printed)
    }
}
