//! `sealbus erase`: forgets a data subject, and says where copies of what it forgot are.
//!
//! What is printed names keys, counts and days, never the subject.

use std::io::BufRead;
use std::process::ExitCode;

use sealbus_core::clock::Clock as _;
use sealbus_core::envelope::DataSubject;
use sealbus_core::names::Tenant;
use sealbus_core::timestamp::Timestamp;
use sealbus_dispatcher::{Declared, file};
use sealbus_ledger::append::Appender;
use sealbus_ledger::data_keys::{Affected, Erasure, ErasureRequest, Passed, vacuum_data_keys};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};
use serde_json::{Value, json};
use uuid::Uuid;

use super::names;
use crate::failure::Failure;
use crate::output::{Output, table as printed_table};
use crate::wiring;

/// Whom to forget, and why.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data subject, as it stands in the data of events; `-` reads it from standard input, so that it stands in no list of
    /// processes and no shell's history
    #[arg(long)]
    subject: String,
    /// Whose data subject; otherwise SEALBUS_TENANT
    #[arg(long, value_parser = Tenant::parse)]
    tenant: Option<Tenant>,
    /// Why, in your words and without the subject's name: it is kept for ever
    #[arg(long)]
    reason: String,
    /// Who you are; otherwise the user of this shell
    #[arg(long)]
    actor: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Erases, and reports.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let tenant = names::tenant(args.tenant, &settings)?;
    let tenant = tenant.ok_or_else(|| Failure::usage("whose data subject? give --tenant or set SEALBUS_TENANT"))?;
    let order = ErasureRequest {
        subject: subject(&args.subject)?,
        actor: names::actor(args.actor),
        reason: args.reason,
        tenant,
    };
    // Before anything is erased: a file that cannot be read would spoil the report.
    let declared = settings.find(table::SUBSCRIPTIONS).map(|path| file::load(&path)).transpose()?.unwrap_or_default();
    let keyring = wiring::keyring(&settings)?;
    let ledger = wiring::open_ledger(&settings).await?;
    let erase = async |appender: &Appender| ledger.data_keys().erase(appender, &order).await;
    let erasure = wiring::with_appender(&ledger, &keyring, &settings, erase).await?;
    let vacuumed = match settings.find(table::OWNER_DATABASE_URL) {
        Some(owner) => vacuum_data_keys(owner.expose()).await.is_ok(),
        None => false,
    };
    let report = Report {
        affected: ledger.data_keys().affected(&order.tenant, &erasure.keys).await?,
        subscriptions: subscriptions(
            ledger.data_keys().passed(&order.tenant, &erasure.keys).await?,
            &declared,
            &order.tenant,
        ),
        vacuumed,
        backups_expire: settings
            .find(table::BACKUP_RETENTION)
            .and_then(|kept| SystemClock.now().checked_add(kept))
            .map(day),
        tenant: order.tenant,
        erasure,
    };
    match args.output {
        Output::Json => println!("{}", report.to_json()),
        Output::Table => report.print(),
    }
    Ok(ExitCode::SUCCESS)
}

/// The subject that is given, or the first line of standard input. What is refused is not repeated.
fn subject(given: &str) -> Result<DataSubject, Failure> {
    let mut line = String::new();
    let name = if given == "-" {
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n'])
    } else {
        given
    };
    DataSubject::parse(name).map_err(|error| Failure::usage(format!("--subject: {error}")))
}

/// A moment's day, in UTC.
fn day(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

/// A subscription that took such events.
struct Took {
    subscription: String,
    /// In words; none where no file at hand declares it.
    sink: Option<String>,
    events: u64,
}

/// What the subscriptions took of what they are past. One that no file at hand declares may have taken all of it.
fn subscriptions(passed: Vec<Passed>, declared: &[Declared], tenant: &Tenant) -> Vec<Took> {
    let mut took: Vec<Took> = Vec::new();
    for Passed { subscription, event_type, events } in passed {
        let found = declared.iter().find(|declared| declared.spec.name.as_str() == subscription);
        if found.is_some_and(|declared| !declared.spec.runs_for(tenant.as_str(), &event_type)) {
            continue;
        }
        match took.last_mut().filter(|took| took.subscription == subscription) {
            Some(took) => took.events += events,
            None => took.push(Took { sink: found.map(|declared| declared.sink.in_words()), subscription, events }),
        }
    }
    took
}

/// What was done, and where copies are.
struct Report {
    tenant: Tenant,
    erasure: Erasure,
    affected: Affected,
    subscriptions: Vec<Took>,
    vacuumed: bool,
    backups_expire: Option<String>,
}

impl Report {
    fn to_json(&self) -> Value {
        let Affected { events, plans, waiting } = self.affected;
        let subscriptions = self.subscriptions.iter().map(
            |took| json!({ "subscription": took.subscription, "sink": took.sink, "events": took.events, "holds": "envelopes" }),
        );
        json!({
            "tenant": self.tenant.as_str(), "keys": self.erasure.keys, "redone": self.erasure.redone,
            "events": events, "plans": plans,
            "broker": { "events": events - waiting.min(events), "holds": "envelopes" },
            "subscriptions": subscriptions.collect::<Vec<_>>(),
            "vacuumed": self.vacuumed,
            "backups": { "expire": self.backups_expire, "hold": "wrapped keys, and the subject's name beside them" },
        })
    }

    fn print(&self) {
        let Affected { events, plans, waiting } = self.affected;
        let keys: Vec<String> = self.erasure.keys.iter().map(Uuid::to_string).collect();
        let mut printed = printed_table(&["copy", "what became of it"]);
        let mut row = |copy: &str, what: String| {
            printed.add_row([copy.to_owned(), what]);
        };
        match keys.as_slice() {
            [] => {
                row(
                    "data keys",
                    format!("tenant {} has none of this subject: there was nothing to erase", self.tenant),
                );
            }
            keys => row("data keys", format!("destroyed: {}", keys.join(", "))),
        }
        if self.erasure.redone > 0 {
            row("earlier erasures", format!("carried out again: {} keys had come back", self.erasure.redone));
        }
        row("events", format!("{events} in {plans} plans cannot be read any more; their chains and proofs hold"));
        let sent = events - waiting.min(events);
        row("the broker's stream", format!("at most {sent} messages, envelopes only: nothing to purge"));
        for took in &self.subscriptions {
            let sink = took.sink.as_deref().unwrap_or("a sink that SEALBUS_SUBSCRIPTIONS does not name here");
            row(
                &format!("subscription {}", took.subscription),
                format!("{} events, envelopes only, in {sink}", took.events),
            );
        }
        row(
            "the table's own space",
            if self.vacuumed {
                "vacuumed".to_owned()
            } else {
                "given back by autovacuum; at once with SEALBUS_OWNER_DATABASE_URL, or VACUUM sealbus.data_keys"
                    .to_owned()
            },
        );
        row(
            "backups",
            match &self.backups_expire {
                Some(day) => format!("the last that holds the wrapped keys expires on {day}"),
                None => {
                    "not known: set SEALBUS_BACKUP_RETENTION to how long backups and archived WAL are kept, such as 35d"
                        .to_owned()
                }
            },
        );
        println!("{printed}");
    }
}
