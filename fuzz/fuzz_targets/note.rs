//! Signed notes, and the verification of their lines with known keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::note::Note;
use sealbus_fuzz::POLICY;

fuzz_target!(|bytes: &[u8]| {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    assert_eq!(Note::new(note.text().to_owned(), note.signatures().to_vec()).as_ref(), Ok(&note));
    if let Ok(lines) = note.verify(POLICY.keys()) {
        assert!(lines.len() <= note.signatures().len());
    }
});
