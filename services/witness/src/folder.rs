//! The folder that is a witness's memory. It has one note for each log: the last checkpoint that was cosigned.
//!
//! ```text
//! <log>.note    the checkpoint, with the signatures of the log and the witness
//! <log>.fork    the first checkpoint that the log signed with the size of the one in the note but another root
//! ```
//!
//! `<log>` is the SHA-256 of the origin in hex, since an origin may contain characters that a file name cannot.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;
use sealbus_runtime::files::private_file;

/// The folder, locked for this process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself. It holds the lock.
    handle: File,
}

/// The reason why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder or a file in it could not be accessed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// The operation that failed, such as "read".
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("another witness runs on {}; a folder, and a key, have one witness at a time", .0.display())]
    InUse(PathBuf),
}

impl Folder {
    /// Opens and locks a folder. It must exist: a folder that was created here would be an empty memory, with which a
    /// witness must not start unless an operator says so.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let handle = File::open(path).map_err(cannot("open", path))?;
        match handle.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), handle }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(cannot("lock", path)(error)),
        }
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a log's note.
    pub(crate) fn note_file(&self, origin: &str) -> PathBuf {
        self.file(origin, "note")
    }

    /// Reads a log's note. Returns `None` if there is no such file.
    pub(crate) fn read(&self, origin: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let file = self.note_file(origin);
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &file)(error)),
        }
    }

    /// Replaces a log's note. After it has returned, a power failure leaves the new note. If it fails, or the process
    /// dies in it, the folder has either the old or the new note, never a part of one.
    pub(crate) fn write(&self, origin: &str, note: &Note) -> Result<(), FolderError> {
        self.replace(&self.note_file(origin), note)
    }

    /// Keeps the evidence that the log signed two trees of the same size. Later evidence does not replace it, so that
    /// nobody can make the witness discard it.
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
            let mut handle = private_file().write(true).create(true).truncate(true).open(&new)?;
            handle.write_all(note.to_string().as_bytes())?;
            handle.sync_all()
        };
        write().map_err(cannot("write", &new))?;
        fs::rename(&new, file).map_err(cannot("replace", file))?;
        // The new name is on the disk only after the folder has been flushed.
        self.handle.sync_all().map_err(cannot("flush", &self.path))
    }
}

fn cannot(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Io { operation, path: path.to_owned(), source }
}
