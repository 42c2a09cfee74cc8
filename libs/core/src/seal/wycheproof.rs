//! Wycheproof's test vectors for HMAC, HKDF, Ed25519 and XChaCha20-Poly1305, applied to the functions that seal, encrypt and
//! check.

use std::fs;
use std::path::Path;

use hkdf::Hkdf;
use hmac::Mac;
use serde_json::Value;
use sha2::Sha256;

use super::{PublicKey, suite};
use crate::envelope::aead::{decrypt, encrypt};
use crate::hash::hmac_sha256;

/// Calls `check` for each group and test of a published file, which is in a folder next to the project.
fn for_each(file: &str, mut check: impl FnMut(&Value, &Value)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/wycheproof/testvectors_v1");
    let Ok(text) = fs::read(folder.join(file)) else {
        println!("SKIPPED: ../shared/vectors/wycheproof/testvectors_v1/{file} does not exist");
        return;
    };
    let file: Value = serde_json::from_slice(&text).unwrap();
    let mut seen = 0;
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            check(group, test);
            seen += 1;
        }
    }
    assert_eq!(seen, file["numberOfTests"]);
}

fn bytes(of: &Value, name: &str) -> Vec<u8> {
    hex::decode(of[name].as_str().unwrap()).unwrap()
}

#[test]
fn hmac() {
    for_each("hmac_sha256_test.json", |group, test| {
        let valid = test["result"] == "valid";
        let (mac, tag) = (hmac_sha256(&bytes(test, "key")).chain_update(bytes(test, "msg")), bytes(test, "tag"));
        if group["tagSize"] == 256 {
            assert_eq!(mac.verify_slice(&tag).is_ok(), valid, "{test}");
        } else {
            // Other implementations may accept a truncated tag; here a MAC has 32 bytes.
            assert_eq!(mac.clone().finalize().into_bytes().starts_with(&tag), valid, "{test}");
            assert!(mac.verify_slice(&tag).is_err(), "{test}");
        }
    });
}

#[test]
fn hkdf() {
    let mut derived = 0;
    for_each("hkdf_sha256_test.json", |_, test| {
        let (secret, salt, info) = (bytes(test, "ikm"), bytes(test, "salt"), bytes(test, "info"));
        let size = usize::try_from(test["size"].as_u64().unwrap()).unwrap();
        let mut okm = vec![0; size];
        let expanded = Hkdf::<Sha256>::new(Some(&salt), &secret).expand(&info, &mut okm).is_ok();
        assert_eq!(expanded && okm == bytes(test, "okm"), test["result"] == "valid", "{test}");
        if salt.is_empty() && size == 32 {
            assert_eq!(suite::derive(&secret, &info).as_slice(), okm);
            derived += 1;
        }
    });
    println!("{derived} of them without a salt and of 32 bytes");
}

#[test]
fn ed25519() {
    for_each("ed25519_test.json", |group, test| {
        let key = bytes(&group["publicKey"], "pk").try_into().ok().and_then(|key| PublicKey::from_bytes(&key));
        let verifies = key.is_some_and(|key| key.verifies(&bytes(test, "msg"), &bytes(test, "sig")));
        assert_eq!(verifies, test["result"] == "valid", "{test}");
    });
}

#[test]
fn xchacha20_poly1305() {
    for_each("xchacha20_poly1305_test.json", |_, test| {
        let valid = test["result"] == "valid";
        let key: [u8; 32] = bytes(test, "key").try_into().unwrap();
        let Ok(nonce) = bytes(test, "iv").try_into() else {
            assert!(!valid, "a nonce must have 24 bytes: {test}");
            return;
        };
        let (aad, plaintext) = (bytes(test, "aad"), bytes(test, "msg"));
        let ciphertext = [bytes(test, "ct"), bytes(test, "tag")].concat();
        let decrypted = decrypt(&key, &nonce, &ciphertext, &aad);
        assert_eq!(decrypted.is_some_and(|text| *text == plaintext), valid, "{test}");
        assert_eq!(encrypt(&key, &nonce, &plaintext, &aad) == ciphertext, valid, "{test}");
    });
}
