//! `sealbus keys list`: prints every key and its remaining uses.

use std::collections::{BTreeMap, BTreeSet};

use sealbus_core::seal::{HeldKey, KeyId, Keyring, Status};
use sealbus_ledger::keys::{KeyChain, KeyState};
use sealbus_runtime::settings::{Settings, table};
use serde_json::{Value, json};

use super::seals_events;
use crate::failure::Failure;
use crate::output::{Output, print, printed_table};
use crate::wiring;

struct LedgerKeys {
    chain: KeyChain,
    states: BTreeMap<KeyId, KeyState>,
    /// Number of live signers by key.
    signers: BTreeMap<KeyId, u64>,
    /// Number of events without a leaf by key.
    unsealed: BTreeMap<KeyId, u64>,
}

/// Prints the keys of the keyring and, if a ledger is configured, those that its plan `_keys` names.
pub(super) async fn run(output: Output, settings: &Settings) -> Result<(), Failure> {
    let keyring = wiring::keyring(settings)?;
    let ledger = match settings.find(table::DATABASE_URL) {
        Some(_) => Some(read_ledger(&keyring, settings).await?),
        None => None,
    };
    let mut ids: Vec<&KeyId> = keyring.keys().map(|key| key.id).collect();
    let in_keyring: BTreeSet<&KeyId> = ids.iter().copied().collect();
    ids.extend(ledger.iter().flat_map(|ledger| ledger.chain.histories().keys()).filter(|id| !in_keyring.contains(id)));
    let rows: Vec<Value> =
        ids.into_iter().map(|id| row(id, keyring.keys().find(|key| key.id == id), ledger.as_ref())).collect();
    match output {
        Output::Json => print(Value::Array(rows)),
        Output::Table => print_table(&rows),
    }
}

async fn read_ledger(keyring: &Keyring, settings: &Settings) -> Result<LedgerKeys, Failure> {
    let ledger = wiring::open_ledger(settings).await?;
    Ok(LedgerKeys {
        chain: ledger.keys().chain(keyring).await?,
        states: ledger.keys().states().await?,
        signers: ledger.keys().signers().await?,
        unsealed: ledger.keys().unsealed().await?,
    })
}

fn row(id: &KeyId, key: Option<HeldKey<'_>>, ledger: Option<&LedgerKeys>) -> Value {
    // The ledger holds nothing about keys that do not seal events.
    let ledger = id.kind().filter(|kind| seals_events(*kind)).and(ledger);
    let window = ledger.and_then(|ledger| ledger.chain.window(id));
    let count = |counts: &BTreeMap<KeyId, u64>| counts.get(id).copied().unwrap_or(0);
    json!({
        "id": id,
        "kind": id.kind().map(|kind| kind.prefix().trim_end_matches('-')),
        "status": key.map(|key| key.status),
        "secret": key.is_some_and(|key| key.has_secret),
        "signs": key.is_some_and(|key| key.status == Status::Active && seals_events(key.kind)),
        "from": window.map(|window| window.from),
        "until": window.and_then(|window| window.until),
        "ledger": ledger.and_then(|ledger| ledger.states.get(id)).map(|state| state.as_str()),
        "replicas": ledger.map(|ledger| count(&ledger.signers)),
        "unsealed": ledger.map(|ledger| count(&ledger.unsealed)),
    })
}

fn print_table(rows: &[Value]) -> Result<(), Failure> {
    let columns = ["id", "status", "signs", "secret", "from", "until", "ledger", "replicas", "unsealed"];
    let texts = rows.iter().map(|row| {
        columns.map(|column| match &row[column] {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Number(number) => number.to_string(),
            _ => "-".to_owned(),
        })
    });
    print(printed_table(&columns).add_rows(texts))
}
