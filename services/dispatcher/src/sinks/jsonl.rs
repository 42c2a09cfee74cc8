//! A sink of JSON lines: each event as INTERFACE shows it, a line of its own, appended to a file.
//!
//! At least once: after a crash between a line and its position the line is written again; (subscription, tenant, plan, seq)
//! tells. A line is whole or not there: what a crash left without its end is cut off before the next is written. Writers
//! take turns by a lock on the file, so that processes of one machine may share it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError};
use serde::Deserialize;

/// Events in one write.
const LONGEST_RUN: usize = 64;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlSpec {
    /// The file, made if it is not there; its folder must be. Relative to where the process was started.
    pub path: PathBuf,
    /// Whether a line is on the disk before its position moves (the default). Without, a power cut can lose lines that count
    /// as written.
    #[serde(default = "yes")]
    pub fsync: bool,
}

fn yes() -> bool {
    true
}

impl JsonlSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.path.file_name().is_some() { Ok(()) } else { Err("path: the name of a file".into()) }
    }
}

pub(super) fn handler(spec: &JsonlSpec) -> Handler {
    Handler::External(Arc::new(Jsonl { spec: spec.clone() }))
}

struct Jsonl {
    spec: JsonlSpec,
}

#[async_trait]
impl ExternalEffect for Jsonl {
    fn max_batch(&self) -> usize {
        LONGEST_RUN
    }

    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
        let mut lines = String::new();
        for delivery in run {
            lines.push_str(&delivery.record.to_json_text());
            lines.push('\n');
        }
        let spec = self.spec.clone();
        let written = tokio::task::spawn_blocking(move || append(&spec.path, lines.as_bytes(), spec.fsync)).await;
        let path = self.spec.path.display();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(HandlerError::new(format!("{path}: {error}"))),
            Err(crashed) => Err(HandlerError::new(format!("{path}: {crashed}"))),
        }
    }
}

/// Appends whole lines or nothing.
fn append(path: &Path, lines: &[u8], fsync: bool) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // Released when the file is closed, by a crash too.
    file.lock()?;
    let end = end_of_lines(&mut file)?;
    file.seek(SeekFrom::Start(end))?;
    let written = file.write_all(lines).and_then(|()| if fsync { file.sync_data() } else { Ok(()) });
    if written.is_err() {
        // A full disk must not leave half a run; if this fails too, the next writer cuts it off.
        let _ = file.set_len(end);
    }
    written
}

/// Where the last whole line ends; what stands behind it is cut off.
fn end_of_lines(file: &mut File) -> std::io::Result<u64> {
    const STEP: u64 = 4_096;
    let length = file.seek(SeekFrom::End(0))?;
    let mut from = length;
    let mut block = Vec::new();
    while from > 0 {
        let to = from;
        // The last byte alone settles it nearly always.
        from = if to == length { length - 1 } else { to.saturating_sub(STEP) };
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        (&*file).take(to - from).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            let end = from + at as u64 + 1;
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
    use super::*;

    fn after(before: &[u8], lines: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, before).unwrap();
        append(&path, lines, true).unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn a_torn_line_is_cut_off_and_whole_ones_stay() {
        assert_eq!(after(b"", b"1\n"), b"1\n");
        assert_eq!(after(b"1\n", b"2\n3\n"), b"1\n2\n3\n");
        assert_eq!(after(b"1\n{\"hal", b"2\n"), b"1\n2\n");
        assert_eq!(after(b"{\"hal", b"2\n"), b"2\n");
        let long = [b"1\n".to_vec(), vec![b'x'; 10_000]].concat();
        assert_eq!(after(&long, b"2\n"), b"1\n2\n");
        assert_eq!(after(&vec![b'x'; 10_000], b"2\n"), b"2\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_made_and_a_folder_is_not() {
        let folder = tempfile::tempdir().unwrap();
        append(&folder.path().join("new.jsonl"), b"1\n", false).unwrap();
        assert!(append(&folder.path().join("none/new.jsonl"), b"1\n", false).is_err());
    }
}
