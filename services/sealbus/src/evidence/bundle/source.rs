//! The files of a bundle that is read: from a folder, or from a tar without unpacking it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sealbus_core::verify::bundle::BundlePath;

use crate::failure::Failure;

/// Maximum number of bytes in a file of a bundle other than `events.jsonl`. Notes and tiles are shorter, so a longer file is
/// not part of a bundle and is not read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files of a bundle by their paths. Files that are not part of a bundle are ignored.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder, and its files.
    Folder(PathBuf, Vec<BundlePath>),
    /// A tar, and the offset and length of each of its files.
    Tar(PathBuf, BTreeMap<BundlePath, (u64, u64)>),
}

impl Source {
    /// Lists the files of a bundle: of a folder if the path is one, otherwise of a tar.
    ///
    /// # Errors
    /// The path cannot be read, a file appears twice in the tar, or `events.jsonl` is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error| Failure::caused(format_args!("cannot read {}", path.display()), &error);
        let source = if path.is_dir() {
            let mut files = Vec::new();
            list(path, "", &mut files).map_err(unreadable)?;
            files.sort();
            Self::Folder(path.to_owned(), files)
        } else {
            Self::Tar(path.to_owned(), entries(path).map_err(unreadable)?)
        };
        if source.paths().any(|file| *file == BundlePath::Events) {
            return Ok(source);
        }
        Err(Failure::new(format!("{} is not a bundle: it has no events.jsonl", path.display())))
    }

    /// Returns the paths of all files, in order.
    pub(crate) fn paths(&self) -> Box<dyn Iterator<Item = &BundlePath> + '_> {
        match self {
            Self::Folder(_, files) => Box::new(files.iter()),
            Self::Tar(_, files) => Box::new(files.keys()),
        }
    }

    /// Reads a file. Returns `None` if it does not exist or is longer than [`MAX_FILE_BYTES`].
    pub(crate) fn read(&self, file: &BundlePath) -> Result<Option<Vec<u8>>, Failure> {
        let Some(reader) = self.reader(file)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_FILE_BYTES))
    }

    /// Returns whether the bundle holds a whole log, which it does if it has a tile.
    pub(crate) fn is_whole(&self) -> bool {
        self.paths().any(|file| matches!(file, BundlePath::Tile(_)))
    }

    /// Returns the number of bytes that a verification reads, for a progress bar: the records, twice.
    pub(crate) fn bytes_to_read(&self) -> Result<u64, Failure> {
        let length = match self {
            Self::Folder(folder, _) => fs::metadata(folder.join(BundlePath::Events.to_string()))?.len(),
            Self::Tar(_, files) => files.get(&BundlePath::Events).map_or(0, |(_, length)| *length),
        };
        Ok(2 * length)
    }

    /// Opens the records, to be read line by line.
    pub(crate) fn events(&self) -> Result<impl BufRead, Failure> {
        let reader = self.reader(&BundlePath::Events)?.ok_or_else(|| Failure::new("the bundle has no events.jsonl"))?;
        Ok(BufReader::with_capacity(1 << 20, reader))
    }

    fn reader(&self, file: &BundlePath) -> Result<Option<io::Take<File>>, Failure> {
        let (path, start, length) = match self {
            Self::Folder(folder, files) if files.contains(file) => (&folder.join(file.to_string()), 0, u64::MAX),
            Self::Tar(tar, files) => match files.get(file) {
                Some((start, length)) => (tar, *start, *length),
                None => return Ok(None),
            },
            Self::Folder(..) => return Ok(None),
        };
        let unreadable = |error| Failure::caused(format_args!("cannot read {}", path.display()), &error);
        let mut opened = File::open(path).map_err(unreadable)?;
        opened.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        Ok(Some(opened.take(length)))
    }
}

/// Lists the files in a folder and its subfolders. `prefix` is the folder's path in the bundle.
fn list(folder: &Path, prefix: &str, files: &mut Vec<BundlePath>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.extend(BundlePath::parse(&path));
        }
    }
    Ok(())
}

/// Lists the files in a tar, with offset and length.
fn entries(path: &Path) -> io::Result<BTreeMap<BundlePath, (u64, u64)>> {
    let mut files = BTreeMap::new();
    let mut tar = tar::Archive::new(File::open(path)?);
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(file) = BundlePath::parse(name.strip_prefix("./").unwrap_or(&name)) else { continue };
        let place = (entry.raw_file_position(), entry.size());
        if files.insert(file, place).is_some() {
            return Err(io::Error::other(format!("{name} appears twice in the tar")));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(path: &Path, files: &[(&str, &[u8])]) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    #[test]
    fn files_of_a_tar_are_read_without_unpacking_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        let tile = [7; 32];
        tar_of(&path, &[("./events.jsonl", b"{}\n"), ("tile/0/000.p/1", &tile), ("README", b"not part of a bundle")]);
        let source = Source::open(&path).unwrap();
        let names: Vec<_> = source.paths().map(ToString::to_string).collect();
        assert_eq!(names, ["tile/0/000.p/1", "events.jsonl"]);
        let read = |name: &str| source.read(&BundlePath::parse(name).unwrap()).unwrap();
        assert_eq!(read("tile/0/000.p/1"), Some(tile.to_vec()));
        assert_eq!(read("events.jsonl"), Some(b"{}\n".to_vec()));
        assert_eq!(read("checkpoint"), None);
    }

    #[test]
    fn a_path_that_is_not_a_bundle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        tar_of(&path, &[("events.jsonl", b""), ("./events.jsonl", b"")]);
        assert!(Source::open(&path).unwrap_err().message.contains("twice"));
        tar_of(&path, &[("checkpoint", b"")]);
        assert!(Source::open(&path).unwrap_err().message.contains("no events.jsonl"));
        fs::write(&path, b"neither").unwrap();
        Source::open(&path).unwrap_err();
        Source::open(&folder.path().join("nowhere")).unwrap_err();
    }
}
