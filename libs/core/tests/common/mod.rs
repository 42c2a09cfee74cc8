//! Where the test vectors are, and how their hex is read.

#![allow(dead_code, reason = "each test file uses some of these")]

pub(crate) mod bundle;
pub(crate) mod chain;
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

/// A file of the published vectors, which lie beside the project and are not part of it. A test that does not find them says
/// so and passes.
pub(crate) fn shared(path: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(shared_path(path)).ok();
    if bytes.is_none() {
        println!("SKIPPED: ../shared/vectors/{path} is not here");
    }
    bytes
}

/// Where a file or folder of them is, if it is here.
pub(crate) fn shared_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(path)
}

/// The project's own golden file, and the published file of the same form where it is: the same tests run on both.
pub(crate) fn vectors(golden: &str, published: &str) -> Vec<Value> {
    let published = shared(published).map(|bytes| serde_json::from_slice(&bytes).unwrap());
    std::iter::once(self::golden(golden)).chain(published).collect()
}

/// One of the project's own golden files.
pub(crate) fn golden(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let bytes = fs::read(path).expect("deploy/verify/vectors.py --write makes the golden files");
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) fn cases<'a>(file: &'a Value, name: &str) -> &'a [Value] {
    file[name].as_array().unwrap_or_else(|| panic!("the file has {name}"))
}

pub(crate) fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is a text in {case}"))
}

pub(crate) fn bytes(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(case, name)).unwrap_or_else(|_| panic!("{name} is hex in {case}"))
}

pub(crate) fn hash(case: &Value, name: &str) -> Hash {
    text(case, name).parse().unwrap_or_else(|_| panic!("{name} is a hash in {case}"))
}

/// The header of a case's `event`, its times in decimal microseconds.
pub(crate) fn header(event: &Value) -> Header {
    let number = |name: &str| event[name].as_u64().unwrap();
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

/// A keyring of `{kid: {secret | seed, public}}` in hex, with `active` as its active key.
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

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.encode(bytes)
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.decode(text).unwrap()
}
