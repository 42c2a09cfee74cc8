//! The golden bundles: the findings are those of the second implementation, `deploy/verify`.

use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::bundle::{BundlePath, EventLines, read_receipt};
use sealbus_core::verify::{Report, Trust};
use serde_json::{Value, json};

use crate::common;
use crate::common::bundle::merge;
use crate::common::verification::{Input, Pins, expected, findings};
use crate::common::{number, text, unbase64};

#[test]
fn bundles_get_the_findings_of_the_second_implementation() {
    let file = common::golden("bundles.json");
    let (mut refused, cases) = (0, common::cases(&file, "cases"));
    for case in cases {
        let mut state = json!({ "bundle": file["bundles"][text(case, "bundle")], "trust": file["trust"] });
        merge(&mut state, &case["patch"]);
        let (report, about) = (verify(&file, case, &state), text(case, "name"));
        if case["findings"].is_null() {
            assert!(report.is_none(), "{about}: an unreadable bundle was read");
            refused += 1;
            continue;
        }
        let report = report.unwrap_or_else(|| panic!("{about}: the bundle could not be read"));
        assert_eq!(findings(&report), expected(case), "{about}");
        assert_eq!(u64::from(report.exit_code()), number(case, "exit"), "{about}");
        if let Some(vouched) = case.get("vouched") {
            assert_eq!(serde_json::to_value(report.vouched).unwrap(), *vouched, "{about}");
        }
    }
    assert!(refused > 5 && cases.len() - refused > 60, "{refused} of {} cases", cases.len());
}

/// Verifies the bundle of a case. Returns `None` if the bundle, the pins or a receipt cannot be read.
fn verify(file: &Value, case: &Value, state: &Value) -> Option<Report> {
    let (bundle, trust) = (&state["bundle"], &state["trust"]);
    let pins = Pins {
        origin: text(trust, "origin").trim_end().into(),
        keyring: Keyring::parse(text(trust, "keyring.json")).ok()?,
        policy: Policy::parse(text(trust, "policy").as_bytes()).ok()?,
        now: case["now"].as_u64().or(file["now"].as_u64()).unwrap(),
        max_age: case["max_age"].as_u64(),
    };
    let mut input = Input::default();
    let mut events: Option<String> = None;
    for (path, content) in bundle["files"].as_object().unwrap() {
        let bytes = content.as_str().map_or_else(|| unbase64(text(content, "base64")), |text| text.as_bytes().to_vec());
        match BundlePath::parse(path).unwrap_or_else(|| panic!("{path} is not a file of a bundle")) {
            BundlePath::Checkpoint => input.checkpoint = bytes,
            BundlePath::Anchor(_) => input.anchors.push((path.clone(), bytes)),
            BundlePath::Tile(_) => drop(input.tiles.insert(path.clone(), bytes)),
            BundlePath::Events => events = Some(String::from_utf8(bytes).unwrap()),
        }
    }
    let mut records: Vec<&Value> = bundle["records"].as_object().unwrap().values().collect();
    records.sort_by_key(|record| (text(record, "tenant"), text(record, "plan"), record["seq"].as_u64()));
    let events = events.unwrap_or_else(|| records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let mut lines = EventLines::new(&pins.origin);
    for line in events.lines() {
        input.records.push(lines.read(line.as_bytes()).ok()?);
    }
    let trust = Trust::new(&pins.origin, pins.keyring.clone(), [], 0);
    for receipt in case["receipts"].as_array().into_iter().flatten() {
        input.receipts.push(read_receipt(receipt.to_string().as_bytes(), &trust).ok()?);
    }
    Some(pins.verify(&input))
}
