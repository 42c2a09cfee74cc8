//! Each tampering of the golden chain, and of the published verdicts.json, and what checking the chains alone finds of it.
//!
//! All cases are run. Of the expected findings those that need the log, its checkpoints or opened payloads are left out
//! (`needs_more`), since no chain shows them; so is the one TIME that rests on a cosignature.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;

use common::{
    bundle::{merge, record_of},
    text, vectors,
};
use sealbus_core::{
    event::Record,
    seal::Keyring,
    verify::{ChainCheck, Trust},
};
use serde_json::{Value, json};

#[test]
fn chains_get_their_verdicts() {
    let files = vectors("seal.json", "seal/verdicts.json");
    let mut compared = 0;
    for file in files.iter().map(|file| file.get("chain").unwrap_or(file)) {
        for case in common::cases(file, "cases") {
            let mut state = json!({ "ledger": file["ledger"], "trust": file["trust"] });
            merge(&mut state, &case["patch"]);
            let expected = expected(case);
            compared += expected.len();
            assert_eq!(findings(&state), expected, "row {}: {}", case["row"], case["name"]);
        }
    }
    assert!(compared >= 20 * files.len(), "the cases hold chain findings, not {compared}");
}

/// The case's findings that checking the chains alone has to make.
fn expected(case: &Value) -> Vec<(String, String)> {
    let by_cosignature = case["name"] == "recorded over a minute after a cosignature over its leaf";
    let mut expected: Vec<(String, String)> = common::cases(case, "findings")
        .iter()
        .map(|finding| (finding[0].as_str().unwrap().to_owned(), finding[1].as_str().unwrap().to_owned()))
        .filter(|(verdict, _)| !needs_more(verdict) && (!by_cosignature || verdict != "TIME"))
        .collect();
    expected.sort();
    expected
}

/// Verdicts that need more than the chains: checks of notes and tiles, 13 and 14, 16 to 20.
fn needs_more(verdict: &str) -> bool {
    [
        "CHECKPOINT",
        "SPLIT_VIEW",
        "INCONSISTENT",
        "TILE",
        "QUORUM",
        "STALE",
        "UNSEALED",
        "PROOF",
        "LEAF_MISMATCH",
        "ORDER",
        "KEY_LOST",
        "COMMITMENT",
        "AAD",
        "MISSING_LEAF",
        "MISSING",
        "UNANCHORED",
        "ERASED",
    ]
    .contains(&verdict)
}

fn findings(state: &Value) -> Vec<(String, String)> {
    let origin = text(&state["trust"], "origin");
    let mut plans: BTreeMap<(String, String), Vec<Record>> = BTreeMap::new();
    for record in state["ledger"]["records"].as_object().unwrap().values() {
        let record = record_of(origin, record);
        plans.entry((record.header.tenant.clone(), record.header.plan.clone())).or_default().push(record);
    }
    for records in plans.values_mut() {
        records.sort_by_key(|record| record.header.seq);
    }
    let keys = plans.get(&("_system".to_owned(), "_keys".to_owned())).map(Vec::as_slice).unwrap_or_default();
    let tree_size = state["ledger"]["leaves"].as_object().unwrap().len() as u64;
    let trust = Trust::new(origin, keyring(&state["trust"]), keys, tree_size);

    let mut found = Vec::new();
    for ((tenant, plan), records) in &plans {
        let mut check = ChainCheck::new(&trust, tenant, plan);
        let mut of_plan: Vec<_> = records.iter().flat_map(|record| check.next(record)).collect();
        let summary = check.finish();
        assert_eq!((summary.events, summary.unchecked), (records.len() as u64, 0));
        of_plan.extend(summary.findings);
        for finding in of_plan {
            let place = format!("{}/{}/{}", finding.tenant, finding.plan, finding.seq);
            found.push((finding.verdict.to_string(), place));
        }
    }
    found.sort();
    found
}

fn keyring(trust: &Value) -> Keyring {
    let mut keys: Vec<Value> = common::cases(trust, "keys")
        .iter()
        .map(|key| {
            let base64 = |name: &str| key[name].as_str().map(|hex| common::base64(&hex::decode(hex).unwrap()));
            json!({
                "id": key["kid"], "secret": base64("secret"), "public": base64("public"),
                "from": key["from"], "until": key["until"],
            })
        })
        .collect();
    for (number, secret) in common::cases(trust, "v1").iter().enumerate() {
        let secret = common::base64(&hex::decode(secret.as_str().unwrap()).unwrap());
        keys.push(json!({ "id": format!("v1-{number:016x}"), "secret": secret }));
    }
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}
