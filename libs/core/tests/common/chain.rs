//! Sample chains: records that are sealed as a publisher seals them.

use sealbus_core::canonical;
use sealbus_core::event::{Header, PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{ChainCheck, ChainSummary, LeafEvidence, Trust, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "bus.test/one";

/// Returns a development keyring. Each `number` gives another one.
pub(crate) fn keyring(number: u8) -> Keyring {
    let random = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ number);
    Keyring::parse(&Keyring::generate_dev(&random).unwrap()).unwrap()
}

/// Returns a keyring with one active HMAC key.
pub(crate) fn hmac_keyring() -> Keyring {
    let secret = super::base64(&std::array::from_fn::<u8, 40, _>(|index| u8::try_from(index).unwrap()));
    Keyring::parse(&json!({ "keys": [{ "id": "hmac-0123456789abcdef", "secret": secret }] }).to_string()).unwrap()
}

/// Returns the keyring without secrets that a verifier pins.
pub(crate) fn public_only(keyring: &Keyring) -> Keyring {
    Keyring::parse(&keyring.to_public_json()).unwrap()
}

/// Returns the record that follows `predecessor` in its plan.
pub(crate) fn next(signer: &Signer, tenant: &str, plan: &str, predecessor: Option<&Record>, data: &Value) -> Record {
    next_of_type(signer, tenant, plan, predecessor, "case.step", data)
}

/// Returns a record of this type that follows `predecessor` in its plan.
pub(crate) fn next_of_type(
    signer: &Signer,
    tenant: &str,
    plan: &str,
    predecessor: Option<&Record>,
    event_type: &str,
    data: &Value,
) -> Record {
    let seq = predecessor.map_or(1, |predecessor| predecessor.header.seq + 1);
    let (payload, metadata) = (canonical::write(data), canonical::write(&json!({ "sealbus": { "auth": "token" } })));
    let start = Timestamp::parse("2026-11-20T10:00:00Z").unwrap().micros();
    let recorded = Timestamp::from_micros(start + i64::try_from(seq).unwrap() * 1_000_000).unwrap();
    let header = Header {
        origin: ORIGIN.into(),
        tenant: tenant.into(),
        plan: plan.into(),
        seq,
        event_id: Uuid::from_u128(u128::from(seq)),
        event_type: event_type.into(),
        data_version: 1,
        occurred: recorded,
        recorded,
        source: "urn:test".into(),
        actor: "tester".into(),
        correlation_id: "c".into(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).unwrap(),
        payload_hash: Hash::of(payload.as_bytes()),
        metadata_hash: Hash::of(metadata.as_bytes()),
        prev: predecessor.map_or_else(|| Header::genesis(ORIGIN, tenant, plan), |predecessor| predecessor.event_hash),
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

/// Hashes and seals a record again after its header was changed.
pub(crate) fn sealed(signer: &Signer, mut record: Record) -> Record {
    record.header.kid = signer.kid().clone();
    record.event_hash = record.header.hash();
    let seal = signer.seal(&record.header, &record.event_hash);
    (record.mac, record.sig) = (seal.mac, seal.sig);
    record
}

/// Returns the records of a plan with this number of events.
pub(crate) fn plan(signer: &Signer, tenant: &str, plan: &str, events: u64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for number in 0..events {
        records.push(next(signer, tenant, plan, records.last(), &json!({ "n": number })));
    }
    records
}

/// Returns the first event of plan `_keys`, in which this key adds itself.
pub(crate) fn first_key(signer: &Signer) -> Record {
    let added: Value = serde_json::from_str(&signer.key_added(ORIGIN, signer.kid())).unwrap();
    Record { log_index: Some(0), ..next_of_type(signer, "_system", "_keys", None, "key.added", &added) }
}

/// Returns the trust in the active key of a keyring from log index 0.
pub(crate) fn trust_in(keyring: &Keyring) -> Trust {
    Trust::new(ORIGIN, keyring.clone(), [&first_key(&keyring.signer().unwrap())], 100)
}

/// Checks the records as plan `order-1` of `acme`, and returns the summary with all findings.
pub(crate) fn summary(trust: &Trust, records: &[Record]) -> ChainSummary {
    let mut check = ChainCheck::new(trust, None, None, "acme", "order-1");
    let mut findings: Vec<_> = records.iter().flat_map(|record| check.next(record, LeafEvidence::None, None)).collect();
    let mut summary = check.finish();
    findings.append(&mut summary.findings);
    ChainSummary { findings, ..summary }
}

/// Returns the verdict and seq of each finding of [`summary`].
pub(crate) fn findings(trust: &Trust, records: &[Record]) -> Vec<(Verdict, u64)> {
    summary(trust, records).findings.iter().map(|finding| (finding.verdict, finding.seq)).collect()
}
