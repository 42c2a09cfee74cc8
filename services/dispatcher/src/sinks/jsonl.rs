//! A sink that appends each event to a file as a line of JSON (docs/spec/interface.md#event).
//!
//! Each event is written at least once: after a crash between a line and its position, the line is written again. A
//! reader recognises the repetition by (subscription, tenant, plan, seq). Every line is complete: a line that a crash
//! has cut off is removed before the next one is written. Writers lock the file, so that processes of one machine may
//! share it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, HandlerError};
use sealbus_runtime::files::private_file;
use serde::Deserialize;

/// The most events in one write.
const MAX_BATCH: usize = 64;

/// The options of a sink of JSON lines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlSpec {
    /// The file. It is created with mode 0600 if it does not exist; its folder must exist. A relative path is relative to the working
    /// directory of the process.
    pub path: PathBuf,
    /// Whether a line is on disk before its position moves, by default `true`. Otherwise a power failure can lose lines
    /// that count as written.
    #[serde(default = "yes")]
    pub fsync: bool,
}

fn yes() -> bool {
    true
}

impl JsonlSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.path.file_name().is_some() { Ok(()) } else { Err("path: must end with the name of a file".into()) }
    }
}

#[async_trait]
impl ExternalEffect for JsonlSpec {
    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
        let mut lines = String::new();
        for delivery in batch {
            lines.push_str(&delivery.record.to_json_text());
            lines.push('\n');
        }
        let Self { path, fsync } = self.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, lines.as_bytes(), fsync)).await;
        let written = written.unwrap_or_else(|crashed| Err(std::io::Error::other(crashed)));
        written.map_err(|error| HandlerError::new(format!("{}: {error}", self.path.display())))
    }
}

/// Appends all of `lines`, or nothing.
fn append(path: &Path, lines: &[u8], fsync: bool) -> std::io::Result<()> {
    let mut file = private_file().read(true).write(true).create(true).truncate(false).open(path)?;
    // The lock is released when the file is closed, which a crash does too.
    file.lock()?;
    let end = end_of_lines(&mut file)?;
    file.seek(SeekFrom::Start(end))?;
    let written = file.write_all(lines).and_then(|()| if fsync { file.sync_data() } else { Ok(()) });
    if written.is_err() {
        // A full disk must not leave a part of the batch. If this fails too, the next writer removes an incomplete
        // line.
        let _ = file.set_len(end);
    }
    written
}

/// Returns the offset at which the last complete line ends, and removes what follows it.
fn end_of_lines(file: &mut File) -> std::io::Result<u64> {
    const BLOCK_BYTES: u64 = 4_096;
    let length = file.seek(SeekFrom::End(0))?;
    let mut from = length;
    let mut block = Vec::new();
    while from > 0 {
        let to = from;
        // The last byte is a line feed nearly always, so it is read alone first.
        from = if to == length { length - 1 } else { to.saturating_sub(BLOCK_BYTES) };
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        (&*file).take(to - from).read_to_end(&mut block)?;
        if let Some(index) = block.iter().rposition(|byte| *byte == b'\n') {
            let end = from + u64::try_from(index).expect("a block has at most 4,096 bytes") + 1;
            if end < length {
                file.set_len(end)?;
            }
            return Ok(end);
        }
    }
    file.set_len(0)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn after(before: &[u8], lines: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, before).unwrap();
        append(&path, lines, true).unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn an_incomplete_line_is_removed_and_complete_ones_stay() {
        assert_eq!(after(b"", b"1\n"), b"1\n");
        assert_eq!(after(b"1\n", b"2\n3\n"), b"1\n2\n3\n");
        assert_eq!(after(b"1\n{\"hal", b"2\n"), b"1\n2\n");
        assert_eq!(after(b"{\"hal", b"2\n"), b"2\n");
        let long = [b"1\n".to_vec(), vec![b'x'; 10_000]].concat();
        assert_eq!(after(&long, b"2\n"), b"1\n2\n");
        assert_eq!(after(&vec![b'x'; 10_000], b"2\n"), b"2\n");
    }

    #[test]
    fn a_missing_file_is_created_and_a_missing_folder_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.jsonl");
        append(&path, b"1\n", false).unwrap();
        // The lines are payloads.
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(append(&folder.path().join("none/new.jsonl"), b"1\n", false).is_err());
    }
}
