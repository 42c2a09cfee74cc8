//! Shared code of the tests: test vectors and their fields, keyrings, sample events and logs.

#![allow(dead_code, reason = "each test file uses only some of the functions")]

pub(crate) mod bundle;
pub(crate) mod chain;
pub(crate) mod deployment;
pub(crate) mod envelope;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod verification;

use std::fs;
use std::path::{Path, PathBuf};

use sealbus_core::event::{Header, PayloadMode};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Keyring};
use sealbus_core::timestamp::Timestamp;
use serde_json::Value;

/// Returns a file of the published vectors, if it is present. They are in the folder `../shared/vectors`, next to the
/// project and not part of it. A test that reads them also reads golden vectors of the same subject, so that it is not
/// skipped.
pub(crate) fn published(path: &str) -> Option<Vec<u8>> {
    fs::read(published_path(path)).ok()
}

/// Returns the path of a file or folder of the published vectors.
pub(crate) fn published_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(path)
}

/// Returns a golden file and, if it is present, the published file of the same form. The same tests run on both.
pub(crate) fn vectors(golden: &str, published: &str) -> Vec<Value> {
    let published = self::published(published).map(|bytes| serde_json::from_slice(&bytes).unwrap());
    std::iter::once(self::golden(golden)).chain(published).collect()
}

/// Returns a golden file of the project.
pub(crate) fn golden(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let bytes = fs::read(path).expect("a golden file is missing; deploy/verify/vectors.py --write makes it");
    serde_json::from_slice(&bytes).unwrap()
}

/// Returns an array of a file or case.
pub(crate) fn cases<'a>(file: &'a Value, name: &str) -> &'a [Value] {
    file[name].as_array().unwrap_or_else(|| panic!("{name} is not an array"))
}

/// Returns a text of a case.
pub(crate) fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is not a text in {case}"))
}

/// Returns a number of a case.
pub(crate) fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap_or_else(|| panic!("{name} is not a number in {case}"))
}

/// Returns bytes of a case, which are in hex.
pub(crate) fn bytes(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(case, name)).unwrap_or_else(|_| panic!("{name} is not hex in {case}"))
}

/// Returns a list of bytes of a case, which are in hex.
pub(crate) fn byte_list(case: &Value, name: &str) -> Vec<Vec<u8>> {
    cases(case, name).iter().map(|hex| hex::decode(hex.as_str().unwrap()).unwrap()).collect()
}

/// Returns a hash of a case, which is in hex.
pub(crate) fn hash(case: &Value, name: &str) -> Hash {
    text(case, name).parse().unwrap_or_else(|_| panic!("{name} is not a hash in {case}"))
}

/// Returns the header of the `event` of a case, whose times are decimal microseconds.
pub(crate) fn header(event: &Value) -> Header {
    let number = |name: &str| number(event, name);
    let micros = |name: &str| Timestamp::from_micros(text(event, name).parse().unwrap()).unwrap();
    Header {
        origin: text(event, "origin").into(),
        tenant: text(event, "tenant").into(),
        plan: text(event, "plan").into(),
        seq: number("seq"),
        event_id: text(event, "event_id").parse().unwrap(),
        event_type: text(event, "type").into(),
        data_version: number("data_version").try_into().unwrap(),
        occurred: micros("occurred_us"),
        recorded: micros("recorded_us"),
        source: text(event, "source").into(),
        actor: text(event, "actor").into(),
        correlation_id: text(event, "correlation_id").into(),
        causation_id: text(event, "causation_id").into(),
        payload_mode: PayloadMode::from_code(number("payload_mode").try_into().unwrap()).unwrap(),
        payload_size: number("payload_size").try_into().unwrap(),
        payload_hash: hash(event, "payload_hash"),
        metadata_hash: hash(event, "metadata_hash"),
        prev: hash(event, "prev"),
        kid: KeyId::new(text(event, "kid")),
    }
}

/// Returns the keyring of `{kid: {secret | seed, public}}` in hex, in which the key `active` is active.
pub(crate) fn keyring(keys: &Value, active: &str) -> Keyring {
    let keys = keys.as_object().unwrap().iter().map(|(kid, key)| {
        let base64 = |name: &str| key[name].as_str().map(|hex| base64(&hex::decode(hex).unwrap()));
        serde_json::json!({
            "id": kid,
            "secret": base64("secret").or(base64("seed")),
            "public": base64("public"),
            "status": if kid == active { "active" } else { "retired" },
            "from": key["from"],
            "until": key["until"],
        })
    });
    Keyring::parse(&serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string()).unwrap()
}

/// Encodes bytes as base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.encode(bytes)
}

/// Decodes base64.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.decode(text).unwrap()
}
