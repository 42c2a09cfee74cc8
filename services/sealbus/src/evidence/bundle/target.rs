//! Writing the files of a bundle: into a tar if the path ends in `.tar`, and otherwise into a folder. A bundle is written under
//! a temporary name and gets its own name only when it is complete. Only its owner can read it, because it holds payloads.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sealbus_core::verify::bundle::BundlePath;
use sealbus_runtime::files::private_file;
use tempfile::NamedTempFile;

use crate::failure::{Context as _, Failure};
use crate::wiring::remove_if_exists;

/// A bundle that is being written.
pub(crate) struct Target {
    path: PathBuf,
    /// The temporary path, in the same folder as the final one.
    temporary: PathBuf,
    tar: Option<tar::Builder<BufWriter<File>>>,
}

impl Target {
    /// Starts writing a bundle for this path. Refuses a path that exists: evidence is not overwritten.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path
            .file_name()
            .ok_or_else(|| Failure::usage(format!("{} cannot be the name of a bundle", path.display())))?;
        if path.exists() {
            return Err(Failure::usage(format!("{} already exists; give another --out", path.display())));
        }
        let temporary = path.with_file_name(format!(".{}.part", name.to_string_lossy()));
        let begin = || {
            clear(&temporary)?;
            if path.extension().is_some_and(|ending| ending == "tar") {
                let file = private_file().write(true).create_new(true).open(&temporary)?;
                return Ok(Some(tar::Builder::new(BufWriter::new(file))));
            }
            create_folder(&temporary).map(|()| None)
        };
        let tar = begin().context(format_args!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), temporary, tar })
    }

    /// Writes one file of the bundle.
    pub(crate) fn put(&mut self, file: &BundlePath, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.tar {
            Some(tar) => append(tar, file, bytes.len() as u64, bytes),
            None => in_folder(&self.temporary, file).and_then(|path| write(&path, bytes)),
        };
        written.context(self.unwritable())
    }

    /// Opens a temporary file for the records, because a tar needs their length before them. Pass it to
    /// [`Target::put_events`].
    pub(crate) fn events(&self) -> Result<NamedTempFile, Failure> {
        let folder = self.temporary.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        NamedTempFile::new_in(folder).context(self.unwritable())
    }

    /// Writes the records, from the file that [`Target::events`] returned.
    pub(crate) fn put_events(&mut self, events: NamedTempFile) -> Result<(), Failure> {
        let written = match &mut self.tar {
            Some(tar) => {
                events.reopen().and_then(|file| append(tar, &BundlePath::Events, file.metadata()?.len(), file))
            }
            None => in_folder(&self.temporary, &BundlePath::Events)
                .and_then(|path| events.persist(path).map(drop).map_err(|error| error.error)),
        };
        written.context(self.unwritable())
    }

    /// Completes the bundle and renames it to its own path.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let finished = self.tar.take().map_or(Ok(()), |tar| tar.into_inner()?.flush());
        let named = finished.and_then(|()| fs::rename(&self.temporary, &self.path));
        named.context(self.unwritable())
    }

    fn unwritable(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

impl Drop for Target {
    /// Removes a bundle that was not completed.
    fn drop(&mut self) {
        // Nothing can be done about a failure, and the name shows that the bundle is not complete.
        let _ = clear(&self.temporary);
    }
}

fn clear(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { remove_if_exists(path) }
}

fn in_folder(folder: &Path, file: &BundlePath) -> io::Result<PathBuf> {
    let path = folder.join(file.to_string());
    path.parent().map_or(Ok(()), create_folder)?;
    Ok(path)
}

/// Creates a folder that only its owner can read, and its parents, unless they exist.
fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private_file().write(true).create_new(true).open(path)?.write_all(bytes)
}

fn append(
    tar: &mut tar::Builder<BufWriter<File>>,
    file: &BundlePath,
    length: u64,
    bytes: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o600);
    tar.append_data(&mut header, file.to_string(), bytes)
}
