//! Checks the findings of tampered ledgers against the golden and the published `verdicts.json`, and those of tampered chains
//! without a log against `seal.json`.

use std::collections::BTreeMap;
use std::rc::Rc;

use sealbus_core::envelope::DataKey;
use sealbus_core::event::Record;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::{ChainCheck, LeafEvidence, Trust};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::common;
use crate::common::bundle::{bundled, by_place, merge, record_of};
use crate::common::verification::{DataKeys, Input, Pins, expected, findings};
use crate::common::{number, text};

#[test]
fn each_tampering_gets_its_findings_and_exit_code() {
    for file in &common::vectors("verdicts.json", "seal/verdicts.json") {
        let cases = common::cases(file, "cases");
        assert!(cases.len() > 30, "the file has only {} cases", cases.len());
        for case in cases {
            let mut state = json!({ "ledger": file["ledger"], "trust": file["trust"] });
            merge(&mut state, &case["patch"]);
            let report = pins(&state["trust"]).verify(&input(&state));
            let about = format!("row {}: {}", case["row"], case["name"]);
            assert_eq!(findings(&report), expected(case), "{about}");
            assert_eq!(u64::from(report.exit_code()), number(case, "exit"), "{about}");
        }
    }
}

/// A verification without a log makes only the checks of the chain.
#[test]
fn chains_without_a_log_get_their_verdicts() {
    let file = common::golden("seal.json");
    let file = &file["chain"];
    for case in common::cases(file, "cases") {
        let mut state = json!({ "ledger": file["ledger"], "trust": file["trust"] });
        merge(&mut state, &case["patch"]);
        assert_eq!(chain_findings(&state), expected(case), "row {}: {}", case["row"], case["name"]);
    }
}

fn pins(trust: &Value) -> Pins {
    let mut policy: Vec<String> =
        common::cases(trust, "log").iter().map(|key| format!("log {}", key.as_str().unwrap())).collect();
    let witnesses = common::cases(trust, "witnesses");
    policy.extend(
        witnesses.iter().enumerate().map(|(number, key)| format!("witness w{number} {}", key.as_str().unwrap())),
    );
    match number(trust, "quorum") {
        0 => policy.push("quorum none".into()),
        quorum => {
            let names: Vec<_> = (0..witnesses.len()).map(|number| format!("w{number}")).collect();
            policy.push(format!("group enough {quorum} {}\nquorum enough", names.join(" ")));
        }
    }
    Pins {
        origin: text(trust, "origin").into(),
        keyring: keyring(trust),
        policy: Policy::parse(policy.join("\n").as_bytes()).unwrap(),
        now: number(trust, "now"),
        max_age: trust["max_age"].as_u64(),
    }
}

fn input(state: &Value) -> Input {
    let (ledger, origin) = (&state["ledger"], text(&state["trust"], "origin"));
    let members = |name: &str| ledger[name].as_object().unwrap().clone();
    let queue = ["queue", "receipts"].iter().flat_map(|name| members(name)).map(|(place, hash)| {
        let (tenant, plan, seq) = place_of(&place);
        (tenant, plan, seq, hash.as_str().unwrap().parse().unwrap())
    });
    let data_keys = members("data_keys").into_iter().map(|(id, key)| {
        let (id, secret) = (id.parse().unwrap(), hex::decode(key.as_str().unwrap()).unwrap());
        (id, DataKey::new(id, &Zeroizing::new(secret.try_into().unwrap())))
    });
    let erased = common::cases(ledger, "erased").iter().map(|id| id.as_str().unwrap().parse().unwrap());
    Input {
        checkpoint: text(ledger, "checkpoint").into(),
        anchors: members("anchors")
            .into_iter()
            .map(|(name, note)| (format!("anchors/{name}"), note.as_str().unwrap().into()))
            .collect(),
        tiles: members("tiles")
            .into_iter()
            .map(|(path, tile)| (path, hex::decode(tile.as_str().unwrap()).unwrap()))
            .collect(),
        records: by_place(members("records").values().map(|record| bundled(origin, record)).collect()),
        leaves: members("leaves")
            .into_iter()
            .map(|(index, place)| (index.parse().unwrap(), place_of(place.as_str().unwrap())))
            .collect(),
        receipts: Vec::new(),
        queue: queue.collect(),
        data_keys: Some(Rc::new(DataKeys { available: data_keys.collect(), erased: erased.collect() })),
    }
}

fn place_of(place: &str) -> (String, String, u64) {
    let (plan, seq) = place.rsplit_once('/').unwrap();
    let (tenant, plan) = plan.split_once('/').unwrap();
    (tenant.into(), plan.into(), seq.parse().unwrap())
}

fn chain_findings(state: &Value) -> Vec<(String, String)> {
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
        let mut check = ChainCheck::new(&trust, None, None, tenant, plan);
        let mut of_plan: Vec<_> =
            records.iter().flat_map(|record| check.next(record, LeafEvidence::None, None)).collect();
        let summary = check.finish();
        assert_eq!((summary.events, summary.unchecked), (records.len() as u64, 0));
        of_plan.extend(summary.findings);
        found.extend(of_plan.iter().map(|finding| (finding.verdict.to_string(), finding.place())));
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
