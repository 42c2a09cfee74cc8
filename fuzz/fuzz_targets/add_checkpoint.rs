//! Requests to a witness, and the decision of the witness.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::merkle::leaf_hash;
use sealbus_core::log::witness::{AddCheckpoint, CosignedTree};
use sealbus_fuzz::POLICY;

fuzz_target!(|body: &[u8]| {
    let Ok(request) = AddCheckpoint::parse(body) else { return };
    assert_eq!(request.to_string().as_bytes(), body);
    // The seeds start from the empty tree, or from the tree with the leaf "leaf 0".
    for last in [CosignedTree::empty(), CosignedTree { size: 1, root: leaf_hash(b"leaf 0") }] {
        if let Ok(next) = request.decide(&POLICY, last) {
            assert!(next.size >= last.size && next.size == request.checkpoint().size());
        }
    }
});
