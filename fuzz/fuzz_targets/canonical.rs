//! The strict JSON reader: an accepted text has one canonical form, which is accepted and unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::canonical::{Limits, canonicalise, stored_matches};
use sealbus_core::hash::Hash;

fuzz_target!(|text: &[u8]| {
    let Ok(canonical) = canonicalise(text, Limits::PAYLOAD) else { return };
    assert_eq!(canonicalise(canonical.as_bytes(), Limits::PAYLOAD).as_ref(), Ok(&canonical));
    assert!(stored_matches(&canonical, &Hash::of(canonical.as_bytes())));
});
