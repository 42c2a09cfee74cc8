//! An anchor in a file that is only ever appended to: each note as a JSON string on a line of its own.
//!
//! It is worth as much as the place where it lies: a disk, or a mount, that the database's host cannot write over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sealbus_core::log::note::Note;

use super::{Anchor, AnchorError};

/// Notes that are looked at to find the newest.
const LAST: usize = 32;

/// A file of notes.
pub struct AnchorFile {
    path: PathBuf,
}

impl AnchorFile {
    /// The file at this path; it is made with the first note.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, AnchorError> {
        let path = self.path.clone();
        let name = self.name();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.map_err(|error| AnchorError(format!("{name}: {error}")))?
            .map_err(|error| AnchorError(format!("{name}: {error}")))
    }
}

#[async_trait]
impl Anchor for AnchorFile {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let text = note.to_string();
        self.blocking(move |path| append(path, &text)).await
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        let mut notes = self.blocking(read).await?;
        if !all {
            notes.drain(..notes.len().saturating_sub(LAST));
        }
        Ok(notes)
    }
}

/// Appends a line and flushes it; the folder too where the file is new, or a power cut could take the file away again.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let new = !path.exists();
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut line = serde_json::to_string(note)?;
    line.push('\n');
    // A line that a crash cut off is ended, or it would spoil this one.
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    if new {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The notes of a file; none where there is no file yet. A last line that was cut off by a crash is passed over.
fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str::<String>(line).ok()).map(String::into_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_in_order_and_a_cut_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        assert!(read(&path).unwrap().is_empty());
        append(&path, "one\n\n— a b\n").unwrap();
        append(&path, "two").unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(br#""thr"#).unwrap();
        assert_eq!(read(&path).unwrap(), ["one\n\n— a b\n".as_bytes(), b"two"]);
        append(&path, "four").unwrap();
        assert_eq!(read(&path).unwrap().last().unwrap(), b"four");
    }
}
