//! The golden and published vectors of the seal: both suites, scheme v1, ids, times, keys.

use sealbus_core::canonical::{self, Limits};
use sealbus_core::event::{FormatError, Header, Leaf, Record, V1, event_id};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Keyring, KeyringError, PublicKey, plan_key};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::v1;
use sealbus_core::verify::Verdict;
use serde_json::{Value, json};

use crate::common;
use crate::common::{bytes, cases, hash, header, keyring, text, vectors};

#[test]
fn seals_match_the_vectors() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "cases") {
            let (name, expect) = (text(case, "name"), &case["expect"]);
            let header = header(&case["event"]);

            let payload = canonical::canonicalise(text(case, "payload").as_bytes(), Limits::PAYLOAD).unwrap();
            let metadata = canonical::canonicalise(text(case, "metadata").as_bytes(), Limits::METADATA).unwrap();
            assert_eq!(payload.as_bytes(), bytes(expect, "canonical_payload"), "{name}");
            assert_eq!(metadata.as_bytes(), bytes(expect, "canonical_metadata"), "{name}");
            assert_eq!(header.payload_hash, Hash::of(payload.as_bytes()), "{name}");
            assert_eq!(header.metadata_hash, Hash::of(metadata.as_bytes()), "{name}");
            assert_eq!(header.payload_size as usize, payload.len(), "{name}");

            assert_eq!(header.validate(), Ok(()), "{name}");
            assert_eq!(hex::encode(header.encode()), text(expect, "header"), "{name}");
            assert_eq!(Header::decode(&bytes(expect, "header")).as_ref(), Ok(&header), "{name}");
            assert_eq!(
                Header::genesis(&header.origin, &header.tenant, &header.plan),
                hash(expect, "genesis"),
                "{name}"
            );
            let event_hash = header.hash();
            assert_eq!(event_hash, hash(expect, "event_hash"), "{name}");

            let keyring = keyring(&file["keys"], header.kid.as_str());
            let signer = keyring.signer().unwrap();
            let seal = signer.seal(&header, &event_hash);
            assert_eq!((&seal.mac, &seal.sig), (&bytes(expect, "mac"), &bytes(expect, "sig")), "{name}");
            if expect.get("plan_key").is_some() {
                let secret = bytes(&file["keys"][header.kid.as_str()], "secret");
                let key = plan_key(&secret, &header.origin, &header.tenant, &header.plan);
                assert_eq!(hex::encode(key.as_slice()), text(expect, "plan_key"), "{name}");
            }
            assert!(keyring.check(&header, &event_hash, &seal.mac, &seal.sig).is_ok(), "{name}");

            let record = Record {
                header: header.clone(),
                event_hash,
                mac: seal.mac,
                sig: seal.sig,
                payload: Some(payload),
                metadata,
                request_mac: Vec::new(),
                v1: None,
                log_index: None,
            };
            assert_eq!(hex::encode(record.leaf()), text(expect, "leaf"), "{name}");
            assert_eq!(record.leaf_hash(), hash(expect, "leaf_hash"), "{name}");
            let leaf = Leaf::decode(&record.leaf()).unwrap();
            assert_eq!((&leaf.header, leaf.encode()), (&header, record.leaf()), "{name}");
        }
    }
}

#[test]
fn malformed_headers_and_leaves_are_refused() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "refused_headers") {
            let refused = Header::decode(&bytes(case, "header")).unwrap_err();
            assert_eq!(refused.verdict().as_str(), text(case, "refused"), "{}: {refused}", case["name"]);
        }
        for case in cases(file, "refused_leaves") {
            let refused = Leaf::decode(&bytes(case, "leaf")).unwrap_err();
            assert_eq!(refused.verdict().as_str(), text(case, "refused"), "{}: {refused}", case["name"]);
        }
    }
}

#[test]
fn seals_get_their_verdicts() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        let keyring = keyring(&file["keys"], "");
        for case in cases(file, "seals") {
            // All cases are of the plan of the first case.
            let mut header = header(&file["cases"][0]["event"]);
            header.kid = KeyId::new(text(case, "kid"));
            let (mac, sig) = (bytes(case, "mac"), bytes(case, "sig"));
            let key = &file["keys"][header.kid.as_str()];
            let public = key.get("public").map(|_| bytes(key, "public"));
            let result = if public.is_some_and(|public| public != bytes(case, "key")) {
                // A public key of small order, which keyrings refuse.
                let public = PublicKey::from_bytes(&bytes(case, "key").try_into().unwrap());
                assert_eq!(public, None);
                Verdict::Signature.as_str()
            } else {
                keyring.check(&header, &hash(case, "event_hash"), &mac, &sig).map_or_else(Verdict::as_str, |_| "ok")
            };
            assert_eq!(result, text(case, "result"), "{}", case["name"]);
        }
    }
}

#[test]
fn ids_become_uuids() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "event_ids") {
            let (tenant, source, id) = (text(case, "tenant"), text(case, "source"), text(case, "id"));
            match event_id(tenant, source, id) {
                Ok(identity) => {
                    assert_eq!(hex::encode(identity.id), text(case, "event_id"), "{id}");
                    let itself = identity.id.hyphenated().to_string() == id;
                    assert_eq!(identity.external.as_deref(), (!itself).then_some(id), "{id}");
                }
                Err(refused) => assert_eq!(refused.verdict().as_str(), text(case, "refused"), "{id}"),
            }
        }
    }
}

#[test]
fn times_become_microseconds() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "times") {
            let micros = Timestamp::parse(text(case, "text")).ok().map(|timestamp| timestamp.micros().to_string());
            assert_eq!(micros.as_deref(), case["us"].as_str(), "{}", case["text"]);
        }
    }
}

#[test]
fn key_proofs_match_the_vectors() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "key_proofs") {
            let signer = keyring(&file["keys"], text(case, "kid")).signer().unwrap();
            let added: Value =
                serde_json::from_str(&signer.key_added(text(case, "origin"), &KeyId::new(text(case, "by")))).unwrap();
            assert_eq!(added["kid"], case["kid"]);
            assert_eq!(added["proof"], common::base64(&bytes(case, "proof")));
            let public = file["keys"][text(case, "kid")]["public"]
                .as_str()
                .map(|hex| common::base64(&hex::decode(hex).unwrap()));
            assert_eq!(added.get("public").and_then(Value::as_str), public.as_deref());
        }
    }
}

#[test]
fn weak_secrets_are_refused() {
    for file in &vectors("seal.json", "seal/seal-v2.json") {
        for case in cases(file, "secrets") {
            let key = json!({ "id": "hmac-0123456789abcdef", "secret": common::base64(&bytes(case, "secret")) });
            let weak = match Keyring::parse(&json!({ "keys": [key] }).to_string()) {
                Ok(_) => false,
                Err(KeyringError::WeakSecret { .. }) => true,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(weak, case["weak"], "{case}");
        }
    }
}

#[test]
fn v1_signatures_match_the_vectors() {
    let files = vectors("seal.json", "seal/seal-v1.json");
    for file in files.iter().map(|file| file.get("v1").unwrap_or(file)) {
        let secret = bytes(file, "secret");
        for case in cases(file, "cases") {
            let canonical = canonical::canonicalise(text(case, "payload").as_bytes(), Limits::PAYLOAD).unwrap();
            assert_eq!(canonical, text(case, "canonical_payload"));
            assert_eq!(Hash::of(canonical.as_bytes()), hash(case, "payload_hash"));
            let (plan, event_type, prev) = (text(case, "plan"), text(case, "type"), case["prev_hash"].as_str());
            let prev = prev.map(|signature| V1 {
                payload_hash: String::new(),
                prev_hash: None,
                signature: signature.to_owned(),
            });
            let columns = v1::columns(&secret, plan, event_type, &hash(case, "payload_hash"), prev.as_ref()).unwrap();
            assert_eq!(columns.signature, text(case, "signature"));
        }
        for case in cases(file, "refused") {
            let (plan, event_type) = (text(case, "plan"), text(case, "type"));
            let refused = v1::columns(&secret, plan, event_type, &Hash([0; 32]), None).unwrap_err();
            assert!(matches!(refused, FormatError::Field { .. }), "{case}");
            assert_eq!(refused.verdict().as_str(), text(case, "refused"));
        }
    }
}
