//! Chains to break: records sealed as the publisher seals them.

use sealbus_core::canonical;
use sealbus_core::event::{Header, PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{ChainCheck, ChainSummary, Trust, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "bus.test/one";

/// 144 bytes that differ by `number`, as no generator gives them.
pub(crate) fn keyring(number: u8) -> Keyring {
    let random = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ number);
    Keyring::parse(&Keyring::generate_dev(&random).unwrap()).unwrap()
}

/// A keyring of one active hmac key.
pub(crate) fn hmac_keyring() -> Keyring {
    let secret = super::base64(&std::array::from_fn::<u8, 40, _>(|index| u8::try_from(index).unwrap()));
    Keyring::parse(&json!({ "keys": [{ "id": "hmac-0123456789abcdef", "secret": secret }] }).to_string()).unwrap()
}

/// The record that follows `before` in its plan.
pub(crate) fn next(signer: &Signer, tenant: &str, plan: &str, before: Option<&Record>, data: &Value) -> Record {
    next_of_type(signer, tenant, plan, before, "case.step", data)
}

pub(crate) fn next_of_type(
    signer: &Signer,
    tenant: &str,
    plan: &str,
    before: Option<&Record>,
    event_type: &str,
    data: &Value,
) -> Record {
    let seq = before.map_or(1, |before| before.header.seq + 1);
    let (payload, metadata) = (canonical::write(data), canonical::write(&json!({ "sealbus": { "auth": "token" } })));
    let at = Timestamp::parse("2026-11-20T10:00:00Z").unwrap().micros() + i64::try_from(seq).unwrap() * 1_000_000;
    let header = Header {
        origin: ORIGIN.into(),
        tenant: tenant.into(),
        plan: plan.into(),
        seq,
        event_id: Uuid::from_u128(u128::from(seq)),
        event_type: event_type.into(),
        data_version: 1,
        occurred: Timestamp::from_micros(at).unwrap(),
        recorded: Timestamp::from_micros(at).unwrap(),
        source: "urn:test".into(),
        actor: "tester".into(),
        correlation_id: "c".into(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).unwrap(),
        payload_hash: Hash::of(payload.as_bytes()),
        metadata_hash: Hash::of(metadata.as_bytes()),
        prev: before.map_or_else(|| Header::genesis(ORIGIN, tenant, plan), |before| before.event_hash),
        kid: signer.kid().clone(),
    };
    let record = Record {
        header,
        event_hash: Hash([0; 32]),
        mac: Vec::new(),
        sig: Vec::new(),
        payload: Some(payload),
        metadata,
        request_mac: Vec::new(),
        v1: None,
        log_index: None,
    };
    sealed(signer, record)
}

/// The record with hash and seal of what its header says now.
pub(crate) fn sealed(signer: &Signer, mut record: Record) -> Record {
    record.header.kid = signer.kid().clone();
    record.event_hash = record.header.hash();
    let seal = signer.seal(&record.header, &record.event_hash);
    (record.mac, record.sig) = (seal.mac, seal.sig);
    record
}

/// A plan of so many events.
pub(crate) fn plan(signer: &Signer, tenant: &str, plan: &str, events: u64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for number in 0..events {
        records.push(next(signer, tenant, plan, records.last(), &json!({ "n": number })));
    }
    records
}

/// Plan `_keys` of a ledger whose first key is this one.
pub(crate) fn first_key(signer: &Signer) -> Record {
    let added: Value = serde_json::from_str(&signer.key_added(ORIGIN, signer.kid())).unwrap();
    Record { log_index: Some(0), ..next_of_type(signer, "_system", "_keys", None, "key.added", &added) }
}

/// Trust in the keyring's active key from the log's beginning.
pub(crate) fn trust_in(keyring: &Keyring) -> Trust {
    Trust::new(ORIGIN, keyring.clone(), [&first_key(&keyring.signer().unwrap())], 100)
}

/// What checking the records as `order-1` of `acme` comes to, with all findings.
pub(crate) fn summary(trust: &Trust, records: &[Record]) -> ChainSummary {
    let mut check = ChainCheck::new(trust, "acme", "order-1");
    let mut early: Vec<_> = records.iter().flat_map(|record| check.next(record)).collect();
    let mut summary = check.finish();
    early.append(&mut summary.findings);
    ChainSummary { findings: early, ..summary }
}

/// The verdicts of that, each with its seq.
pub(crate) fn findings(trust: &Trust, records: &[Record]) -> Vec<(Verdict, u64)> {
    summary(trust, records).findings.iter().map(|finding| (finding.verdict, finding.seq)).collect()
}
