//! Checkpoints: the text alone, and the note of it with known keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::MAX_SIZE;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_fuzz::{ORIGIN, POLICY};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(checkpoint) = text.parse::<Checkpoint>()
    {
        assert!(checkpoint.to_string() == text && checkpoint.size() <= MAX_SIZE);
    }
    if let Ok(note) = Note::parse(bytes)
        && let Ok(signed) = POLICY.open(&note, ORIGIN)
    {
        assert_eq!(signed.checkpoint().to_string(), note.text());
        assert!(POLICY.quorum(&signed, u64::MAX).witnesses.len() < note.signatures().len());
    }
});
