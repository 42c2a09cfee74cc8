//! An anchor in a file to which notes are appended, each as a JSON string on one line.
//!
//! The anchor protects the log only if the file is on a disk or mount that the database's administrators cannot write.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use sealbus_core::log::note::Note;
use sealbus_runtime::files::private_file;
use tokio::sync::{Mutex, oneshot};

use super::{Anchor, AnchorError, RECENT_NOTES};

/// The bytes at the end of a file in which its newest notes are looked for first. If they are not enough, twice as many are read.
const TAIL: u64 = 64 * 1024;

/// A file of notes.
pub struct AnchorFile {
    path: PathBuf,
    /// Held by the thread that accesses the file, also after its caller has given up: a mount that hangs takes one thread.
    access: Arc<Mutex<()>>,
}

impl AnchorFile {
    /// Returns the anchor in the file at this path. The file is created with the first note.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), access: Arc::default() }
    }

    /// Runs `access` on a thread of its own once no other thread accesses the file. Unlike those of the runtime, the end of the
    /// process does not wait for it.
    async fn on_thread<T: Send + 'static>(
        &self,
        access: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, AnchorError> {
        let turn = Arc::clone(&self.access).lock_owned().await;
        let (path, (sender, accessed)) = (self.path.clone(), oneshot::channel());
        let thread = thread::Builder::new().spawn(move || {
            let _turn = turn;
            // The caller may have given up.
            let _ = sender.send(access(&path));
        });
        let accessed = match thread {
            Ok(_) => accessed.await.unwrap_or_else(|_| Err(io::Error::other("the thread panicked"))),
            Err(error) => Err(error),
        };
        accessed.map_err(|source| AnchorError::File { path: self.path.clone(), source })
    }
}

#[async_trait]
impl Anchor for AnchorFile {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let text = note.to_string();
        self.on_thread(move |path| append(path, &text)).await
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        self.on_thread(move |path| read(path, if all { usize::MAX } else { RECENT_NOTES })).await
    }
}

/// Appends a line and flushes it to the disk. The folder of a new file is flushed too: otherwise the file could
/// disappear in a power failure.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let new = !path.exists();
    let mut file = private_file().create(true).read(true).append(true).open(path)?;
    let mut line = serde_json::to_string(note)?;
    line.push('\n');
    // If a crash truncated the last line, end it, so that this note has its own line.
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last_byte = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last_byte)?;
        if last_byte != *b"\n" {
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

/// Reads up to `limit` notes of a file, which may not exist yet: the newest ones, oldest first. A line that a crash has truncated is
/// ignored. The file is read from its end, as far as necessary.
fn read(path: &Path, limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = if limit == usize::MAX { length } else { TAIL };
    loop {
        let start = length.saturating_sub(tail);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&file).take(length - start).read_to_end(&mut bytes)?;
        // The first line of a part is incomplete.
        let incomplete = usize::from(start > 0);
        let lines = bytes.split(|byte| *byte == b'\n').skip(incomplete);
        let mut notes: Vec<String> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if start == 0 || notes.len() >= limit {
            notes.drain(..notes.len().saturating_sub(limit));
            return Ok(notes.into_iter().map(String::into_bytes).collect());
        }
        tail = tail.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_runtime_ends_although_an_access_hangs() {
        let file = AnchorFile::new("anchors");
        let ((started, starts), (_never, hangs)) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let access = file.on_thread(move |_| {
                started.send(()).unwrap();
                hangs.recv().map_err(io::Error::other)
            });
            tokio::select! {
                _ = access => panic!("the access ended"),
                started = starts => started.unwrap(),
            }
        });
        drop(runtime);
    }

    #[test]
    fn notes_are_read_in_order_and_a_truncated_line_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        assert!(read(&path, usize::MAX).unwrap().is_empty());
        append(&path, "one\n\n— a b\n").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        append(&path, "two").unwrap();

        // A crash truncates the third note, in the middle of a character. The fourth is readable nevertheless.
        File::options().append(true).open(&path).unwrap().write_all(b"\"thr\xe2\x80").unwrap();
        assert_eq!(read(&path, usize::MAX).unwrap(), ["one\n\n— a b\n".as_bytes(), b"two"]);
        append(&path, "four").unwrap();
        assert_eq!(read(&path, usize::MAX).unwrap().last().unwrap(), b"four");
    }

    #[test]
    fn the_newest_notes_are_read_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        // A file that fits into no memory: its first TiB is one line, which takes no space on the disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let notes: Vec<String> = (0..5).map(|n| format!("{n}{}", "x".repeat(50_000))).collect();
        for note in &notes {
            append(&path, note).unwrap();
        }
        for limit in 0..=notes.len() {
            let newest: Vec<&[u8]> = notes[notes.len() - limit..].iter().map(String::as_bytes).collect();
            assert_eq!(read(&path, limit).unwrap(), newest, "{limit} notes");
        }
    }

    #[test]
    fn a_file_with_fewer_notes_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        for note in ["one", "two"] {
            append(&path, note).unwrap();
        }
        assert_eq!(read(&path, 32).unwrap(), [b"one", b"two"]);
        assert_eq!(read(&path, 1).unwrap(), [b"two"]);
    }
}
