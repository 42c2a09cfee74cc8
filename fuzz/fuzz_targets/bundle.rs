//! Bundles: paths, and the lines of `events.jsonl`. The first line of the input is a path, the others are `events.jsonl`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::verify::bundle::{BundlePath, Content, EventLines, read_record, write_record};
use sealbus_fuzz::ORIGIN;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    if let Some(file) = std::str::from_utf8(path).ok().and_then(BundlePath::parse) {
        assert_eq!(file.to_string().as_bytes(), path);
    }
    let mut events = EventLines::new(ORIGIN);
    for line in lines {
        let Ok(record) = events.read(line) else { return };
        let Content::Record(read, proof) = &record.content else { continue };
        // An accepted record is written in one spelling, which parses to the same record.
        let written = write_record(read, proof.as_deref());
        assert_eq!(read_record(written.as_bytes(), ORIGIN).as_ref(), Ok(&record));
    }
});
