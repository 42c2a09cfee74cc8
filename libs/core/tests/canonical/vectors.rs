//! The strict reader and the canonical form: golden cases, published cases, the files of RFC 8785, and ES6 numbers.

use sealbus_core::canonical::{self, Limits, MAX_DEPTH, MAX_PAYLOAD};
use sealbus_core::hash::Hash;
use serde_json::Number;

use crate::common;
use crate::common::{cases, golden, published, text, vectors};

#[test]
fn texts_are_accepted_or_refused_as_in_the_vectors() {
    for file in &vectors("strict.json", "seal/strict-json.json") {
        let limits = (file["max_depth"].as_u64(), file["max_bytes"].as_u64());
        assert_eq!(limits, (Some(MAX_DEPTH as u64), Some(MAX_PAYLOAD as u64)));
        for case in cases(file, "cases") {
            let input = match case["input_b64"].as_str() {
                Some(base64) => common::unbase64(base64),
                None => text(case, "input").as_bytes().to_vec(),
            };
            let cap = case["max_bytes"].as_u64().map_or(MAX_PAYLOAD, |bytes| usize::try_from(bytes).unwrap());
            match canonical::canonicalise(&input, Limits { bytes: cap, depth: MAX_DEPTH }) {
                Ok(canonical) => assert_eq!(hex::encode(canonical), text(case, "canonical"), "{}", case["name"]),
                Err(refused) => {
                    assert_eq!(refused.refusal.code(), text(case, "refused"), "{}: {refused}", case["name"]);
                }
            }
        }
    }
}

#[test]
fn stored_texts_match_as_in_the_vectors() {
    for file in &vectors("strict.json", "seal/strict-json.json") {
        for case in cases(file, "stored") {
            let sealed = Hash::of(text(case, "canonical").as_bytes());
            assert_eq!(canonical::stored_matches(text(case, "stored"), &sealed), case["same"], "{}", case["name"]);
        }
    }
}

#[test]
fn documents_have_the_canonical_form_of_the_vectors() {
    let file = golden("canonical.json");
    for case in cases(&file, "documents") {
        let canonical = canonical::canonicalise(text(case, "input").as_bytes(), Limits::PAYLOAD);
        assert_eq!(canonical.as_deref(), Ok(text(case, "output")), "{}", case["name"]);
    }
    for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
        let (Some(input), Some(output), Some(outhex)) = (
            published(&format!("rfc8785/testdata/input/{name}.json")),
            published(&format!("rfc8785/testdata/output/{name}.json")),
            published(&format!("rfc8785/testdata/outhex/{name}.txt")),
        ) else {
            return;
        };
        let canonical = canonical::canonicalise(&input, Limits::PAYLOAD);
        let expected: Vec<u8> = String::from_utf8(outhex)
            .unwrap()
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        assert_eq!(canonical.as_ref().map(String::as_bytes), Ok(expected.as_slice()), "{name}");
        assert_eq!(expected, output, "{name}");
    }
}

#[test]
fn numbers_are_spelled_as_in_the_vectors() {
    let file = golden("canonical.json");
    for line in cases(&file, "numbers") {
        check_number(line.as_str().unwrap());
    }
    if let Some(file) = published("rfc8785/es6testfile_10000.txt") {
        let lines: Vec<_> = str::from_utf8(&file).unwrap().lines().collect();
        for line in &lines {
            check_number(line);
        }
        assert_eq!(lines.len(), 10_000);
    }
}

/// Checks a line with the bits of a double in hex, a comma, and the spelling of the double.
fn check_number(line: &str) {
    let (bits, spelling) = line.split_once(',').unwrap();
    let double = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
    assert_eq!(canonical::write(&Number::from_f64(double).unwrap().into()), spelling, "{bits}");
    // The writer can spell integers beyond 2^53, but the strict reader refuses them.
    let too_large = double.abs() > 9_007_199_254_740_991.0 && double.abs() < 1e21;
    match canonical::canonicalise(spelling.as_bytes(), Limits::PAYLOAD) {
        Ok(canonical) => assert_eq!((canonical.as_str(), too_large), (spelling, false)),
        Err(refused) => assert!(too_large, "{spelling}: {refused}"),
    }
}
