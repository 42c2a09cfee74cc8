//! Policy files, and the vkeys in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::note::{Note, VerifierKey};
use sealbus_core::log::policy::Policy;
use sealbus_fuzz::ORIGIN;

fuzz_target!(|file: &[u8]| {
    if let Ok(key) = str::from_utf8(file).unwrap_or_default().parse::<VerifierKey>() {
        assert_eq!(key.to_string().as_bytes(), file);
    }
    let Ok(policy) = Policy::parse(file) else { return };
    let note = Note::parse(include_bytes!("../seeds/note/log_and_witness")).expect("the seed is a note");
    if let Ok(signed) = policy.open(&note, ORIGIN) {
        let quorum = policy.quorum(&signed, u64::MAX);
        assert!(quorum.witnesses.len() <= policy.witnesses().len());
    }
});
