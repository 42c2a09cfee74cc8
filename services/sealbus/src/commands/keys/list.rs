//! `sealbus keys list`: every key, and what it is still used for.

use std::collections::{BTreeMap, BTreeSet};

use sealbus_core::seal::{HeldKey, KeyId, Keyring, Status};
use sealbus_ledger::keys::{KeyChain, KeyState};
use sealbus_runtime::settings::{Settings, table};
use serde_json::{Value, json};

use super::seals_events;
use crate::failure::Failure;
use crate::output::{Output, table as printed_table};
use crate::wiring;

/// What the ledger says of keys.
struct Known {
    chain: KeyChain,
    standings: BTreeMap<KeyId, KeyState>,
    signers: BTreeMap<KeyId, u64>,
    unsealed: BTreeMap<KeyId, u64>,
}

/// Prints the keys of the keyring and, where a ledger is configured, those that its plan `_keys` names.
pub(super) async fn run(output: Output, settings: &Settings) -> Result<(), Failure> {
    let keyring = wiring::keyring(settings)?;
    let known = match settings.find(table::DATABASE_URL) {
        Some(_) => Some(known(&keyring, settings).await?),
        None => None,
    };
    let mut ids: Vec<&KeyId> = keyring.keys().map(|key| key.id).collect();
    let in_keyring: BTreeSet<&KeyId> = ids.iter().copied().collect();
    ids.extend(known.iter().flat_map(|known| known.chain.histories().keys()).filter(|id| !in_keyring.contains(id)));
    let rows: Vec<Value> =
        ids.into_iter().map(|id| row(id, keyring.keys().find(|key| key.id == id), known.as_ref())).collect();
    match output {
        Output::Json => println!("{}", Value::Array(rows)),
        Output::Table => print(&rows),
    }
    Ok(())
}

async fn known(keyring: &Keyring, settings: &Settings) -> Result<Known, Failure> {
    let ledger = wiring::open_ledger(settings).await?;
    let known = Known {
        chain: ledger.keys().chain(keyring).await?,
        standings: ledger.keys().states().await?,
        signers: ledger.keys().signers().await?,
        unsealed: ledger.keys().unsealed().await?,
    };
    ledger.close().await;
    Ok(known)
}

fn row(id: &KeyId, held: Option<HeldKey<'_>>, known: Option<&Known>) -> Value {
    let sealing = id.kind().filter(|kind| seals_events(*kind)).and(known);
    let window = sealing.and_then(|known| known.chain.window(id));
    let count = |counts: &BTreeMap<KeyId, u64>| counts.get(id).copied().unwrap_or(0);
    json!({
        "id": id,
        "kind": id.kind().map(|kind| kind.prefix().trim_end_matches('-')),
        "status": held.map(|held| held.status),
        "secret": held.is_some_and(|held| held.has_secret),
        "signs": held.is_some_and(|held| held.status == Status::Active && seals_events(held.kind)),
        "from": window.map(|window| window.from),
        "until": window.and_then(|window| window.until),
        "ledger": sealing.and_then(|known| known.standings.get(id)).map(|standing| standing.as_str()),
        "replicas": sealing.map(|known| count(&known.signers)),
        "unsealed": sealing.map(|known| count(&known.unsealed)),
    })
}

fn print(rows: &[Value]) {
    let columns = ["id", "status", "signs", "secret", "from", "until", "ledger", "replicas", "unsealed"];
    let mut printed = printed_table(&columns);
    for row in rows {
        printed.add_row(columns.map(|column| match &row[column] {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Number(number) => number.to_string(),
            _ => "-".to_owned(),
        }));
    }
    println!("{printed}");
}
