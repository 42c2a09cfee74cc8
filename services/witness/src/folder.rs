//! The folder that is a witness's memory: a note for each log, the last checkpoint that it cosigned.
//!
//! ```text
//! <log>.note    the checkpoint, with the log's lines and the witness's
//! <log>.fork    the first checkpoint that the log signed beside the one of that size in the note
//! ```
//!
//! `<log>` is SHA-256 of the origin in hex: an origin may hold what a file's name cannot.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;

/// The folder, of this process as long as it lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself, locked.
    handle: File,
}

/// Why the folder does not serve.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, is of another user, is full, or the like.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was attempted: "reading".
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another witness runs on {}; a folder, and a key, have one witness at a time", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl Folder {
    /// Takes the folder at this path, which has to be there: one that is made on the way would be empty, and an empty memory
    /// is what a witness must not begin with unasked.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let handle = File::open(path).map_err(failed("opening", path))?;
        match handle.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), handle }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed("locking", path)(error)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the log's last checkpoint.
    pub(crate) fn note_file(&self, origin: &str) -> PathBuf {
        self.file(origin, "note")
    }

    /// The bytes of that file; `None` where there is none.
    pub(crate) fn read(&self, origin: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let file = self.note_file(origin);
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &file)(error)),
        }
    }

    /// Puts the log's last checkpoint in the place of the one before. When it returns, a loss of power leaves the new one; when
    /// it fails or the process dies in it, the old one or the new one, whole.
    pub(crate) fn write(&self, origin: &str, note: &Note) -> Result<(), FolderError> {
        self.replace(&self.note_file(origin), note)
    }

    /// Keeps the proof that the log signed two trees of one size. The first is kept: it is the one that nobody can have sent to
    /// push another out.
    pub(crate) fn keep_fork(&self, origin: &str, note: &Note) -> Result<PathBuf, FolderError> {
        let file = self.file(origin, "fork");
        if !file.exists() {
            self.replace(&file, note)?;
        }
        Ok(file)
    }

    fn file(&self, origin: &str, kind: &str) -> PathBuf {
        self.path.join(format!("{}.{kind}", Hash::of(origin.as_bytes())))
    }

    fn replace(&self, file: &Path, note: &Note) -> Result<(), FolderError> {
        let new = file.with_added_extension("new");
        let write = || {
            let mut handle = File::create(&new)?;
            handle.write_all(note.to_string().as_bytes())?;
            handle.sync_all()
        };
        write().map_err(failed("writing", &new))?;
        fs::rename(&new, file).map_err(failed("replacing", file))?;
        // The name is the folder's, and is on the disk only with it.
        self.handle.sync_all().map_err(failed("flushing", &self.path))
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Io { doing, path: path.to_owned(), source }
}
