//! Changing the files of a keyring.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use sealbus_core::seal::{KeyId, Keyring, KeyringText, NewKey, Status};
use sealbus_runtime::files::{keyring_files, private_file};
use zeroize::Zeroizing;

use crate::failure::{Context as _, Failure};
use crate::wiring::remove_if_exists;

/// The keyring at a path, locked against other commands until this value is dropped.
///
/// Each file is replaced as a whole: readers see the old file or the new one, also after a crash. The other bytes of a changed
/// file, its mode and its owner stay the same.
pub(super) struct KeyringFiles {
    /// The path, with symbolic links resolved.
    path: PathBuf,
    is_directory: bool,
    files: Vec<OneFile>,
    _lock: File,
}

struct OneFile {
    path: PathBuf,
    /// The metadata of the existing file, or `None` for a new file.
    existing: Option<fs::Metadata>,
    text: KeyringText,
    changed: bool,
}

impl KeyringFiles {
    /// Opens the keyring. A path that does not exist is a keyring without keys.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let what = format!("cannot open the keyring {}", path.display());
        let (path, exists) = match fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => (std::path::absolute(path).context(&what)?, false),
            found => (found.context(&what)?, true),
        };
        let is_directory = path.is_dir();
        let folder = if is_directory { &path } else { path.parent().unwrap_or(Path::new("/")) };
        let lock = File::open(folder).context(&what)?;
        lock.lock().context(&what)?;
        let found = if exists { keyring_files(&path)? } else { Vec::new() };
        let files = found.into_iter().map(OneFile::read).collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self { path, is_directory, files, _lock: lock })
    }

    /// Parses the files, including changes that are not saved yet.
    pub(super) fn keyring(&self) -> Result<Keyring, Failure> {
        Ok(Keyring::of_texts(self.files.iter().map(|file| &file.text))?)
    }

    /// Adds a key: to the file, or as a new file of the directory.
    pub(super) fn add(&mut self, key: &NewKey) -> Result<(), Failure> {
        if let (Some(file), false) = (self.files.first_mut(), self.is_directory) {
            file.text.add(key);
            file.changed = true;
            return Ok(());
        }
        let path = if self.is_directory { self.path.join(format!("{}.json", key.id())) } else { self.path.clone() };
        self.files.push(OneFile { path, existing: None, text: KeyringText::new(key.keyring())?, changed: true });
        Ok(())
    }

    pub(super) fn set_status(&mut self, kid: &KeyId, status: Status) {
        for file in &mut self.files {
            file.changed |= file.text.set_status(kid, status);
        }
    }

    /// Pins that a key does not count from a log index on.
    pub(super) fn set_until(&mut self, kid: &KeyId, until: u64) {
        for file in &mut self.files {
            file.changed |= file.text.set_until(kid, until);
        }
    }

    /// Writes the changed files, each as a whole, unless they would not be a valid keyring.
    pub(super) fn save(self) -> Result<(), Failure> {
        self.keyring()?;
        self.files
            .iter()
            .filter(|file| file.changed)
            .try_for_each(|file| file.write().context(format_args!("cannot write {}", file.path.display())))
    }
}

impl OneFile {
    fn read(path: PathBuf) -> Result<Self, Failure> {
        let path = fs::canonicalize(path)?;
        let text = Zeroizing::new(fs::read_to_string(&path)?);
        Ok(Self { existing: Some(fs::metadata(&path)?), text: KeyringText::new(text)?, path, changed: false })
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Hidden files are not part of a keyring's directory.
        let temporary = folder.join(format!(".{name}.new"));
        remove_if_exists(&temporary)?;
        let written = self.fill(&temporary).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // The temporary file may hold secrets. If removing it fails too, the first error is reported.
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| File::open(folder)?.sync_all())
    }

    fn fill(&self, temporary: &Path) -> io::Result<()> {
        let mut file = private_file().write(true).create_new(true).open(temporary)?;
        file.write_all(self.text.as_str().as_bytes())?;
        if let Some(existing) = &self.existing {
            let new = file.metadata()?;
            if (existing.uid(), existing.gid()) != (new.uid(), new.gid()) {
                chown(temporary, Some(existing.uid()), Some(existing.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(existing.mode() & 0o7777))?;
        }
        file.sync_all()
    }
}
