//! Proofs of events, and their verification with known keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::proof::EventProof;
use sealbus_fuzz::{ORIGIN, POLICY};

fuzz_target!(|bytes: &[u8]| {
    let Ok(proof) = EventProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    if let Ok(signed) = proof.verify(&proof.leaf, &POLICY, ORIGIN) {
        assert!(proof.index < signed.checkpoint().size());
    }
});
