//! What a witness is asked, and its decision.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::merkle::leaf_hash;
use sealbus_core::log::witness::{AddCheckpoint, CosignedTree};
use sealbus_fuzz::POLICY;

fuzz_target!(|body: &[u8]| {
    let Ok(request) = AddCheckpoint::parse(body) else { return };
    assert_eq!(request.to_string().as_bytes(), body);
    // The seeds begin at the empty tree, or at the one of the leaf "leaf 0".
    for last in [CosignedTree::empty(), CosignedTree { size: 1, root: leaf_hash(b"leaf 0") }] {
        if let Ok(now) = request.decide(&POLICY, last) {
            assert!(now.size >= last.size && now.size == request.checkpoint().size());
        }
    }
});
