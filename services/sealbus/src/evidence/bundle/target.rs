//! The files of a bundle that is written: into a folder, or a tar by its ending. It has its name only once it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sealbus_core::verify::bundle::BundlePath;
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A bundle in the making.
pub(crate) struct Target {
    path: PathBuf,
    /// Where it is made, beside where it is to be.
    making: PathBuf,
    tar: Option<tar::Builder<BufWriter<File>>>,
}

impl Target {
    /// Begins with one at this path.
    ///
    /// # Errors
    /// Something is there already: evidence is not written over.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name =
            path.file_name().ok_or_else(|| Failure::usage(format!("{} is no name for a bundle", path.display())))?;
        if path.exists() {
            return Err(Failure::usage(format!("{} is there already; name another --out", path.display())));
        }
        let making = path.with_file_name(format!(".{}.part", name.to_string_lossy()));
        let begun = if path.extension().is_some_and(|ending| ending == "tar") {
            File::create(&making).map(|file| Some(tar::Builder::new(BufWriter::new(file))))
        } else {
            clear(&making).and_then(|()| fs::create_dir_all(&making)).map(|()| None)
        };
        let tar = begun.map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), making, tar })
    }

    /// Writes a file.
    pub(crate) fn put(&mut self, file: &BundlePath, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.tar {
            Some(tar) => append(tar, file, bytes.len() as u64, bytes),
            None => in_folder(&self.making, file).and_then(|path| fs::write(path, bytes)),
        };
        written.map_err(|error| self.unwritable(&error))
    }

    /// Where the records go, whose length is known only at the end; then [`Target::put_events`].
    pub(crate) fn events(&self) -> Result<NamedTempFile, Failure> {
        let beside = self.making.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        NamedTempFile::new_in(beside).map_err(|error| self.unwritable(&error))
    }

    /// Puts the records in.
    pub(crate) fn put_events(&mut self, events: NamedTempFile) -> Result<(), Failure> {
        let written = match &mut self.tar {
            Some(tar) => {
                let opened = events.reopen();
                opened.and_then(|file| append(tar, &BundlePath::Events, file.metadata()?.len(), file))
            }
            None => in_folder(&self.making, &BundlePath::Events)
                .and_then(|path| events.persist(path).map(drop).map_err(|error| error.error)),
        };
        written.map_err(|error| self.unwritable(&error))
    }

    /// Gives it its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let finished = match self.tar.take() {
            Some(tar) => tar.into_inner().and_then(|mut file| file.flush()),
            None => Ok(()),
        };
        let named = finished.and_then(|()| fs::rename(&self.making, &self.path));
        named.map_err(|error| self.unwritable(&error))
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        Failure::new(format!("{} cannot be written: {error}", self.path.display()))
    }
}

impl Drop for Target {
    /// What was not finished is taken away again.
    fn drop(&mut self) {
        let _ = clear(&self.making);
    }
}

fn clear(path: &Path) -> io::Result<()> {
    let cleared = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match cleared {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn in_folder(folder: &Path, file: &BundlePath) -> io::Result<PathBuf> {
    let path = folder.join(file.to_string());
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(path)
}

fn append(
    tar: &mut tar::Builder<BufWriter<File>>,
    file: &BundlePath,
    length: u64,
    bytes: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    tar.append_data(&mut header, file.to_string(), bytes)
}
