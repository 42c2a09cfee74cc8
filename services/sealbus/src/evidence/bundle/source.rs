//! The files of a bundle that is read: from a folder, or from a tar without unpacking it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use sealbus_core::verify::bundle::BundlePath;

use crate::failure::{Context as _, Failure};

/// Maximum number of bytes in a file of a bundle other than `events.jsonl`. Notes and tiles are shorter, so a longer file is
/// not part of a bundle and is not read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files of a bundle by their paths, with `events.jsonl`. Files that are not part of a bundle are ignored.
#[derive(Debug)]
pub(crate) struct Source(BTreeMap<BundlePath, Place>);

/// The place of a bundle's file: a file of a folder, or a part of a tar.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    offset: u64,
    length: u64,
}

impl Source {
    /// Lists the files of a bundle: of a folder if the path is one, otherwise of a tar.
    ///
    /// # Errors
    /// The path cannot be read, a file appears twice in the tar, or `events.jsonl` is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        let listed = if path.is_dir() { list_folder(path, "", &mut files) } else { list_tar(path, &mut files) };
        listed.context(format_args!("cannot read {}", path.display()))?;
        if files.contains_key(&BundlePath::Events) {
            return Ok(Self(files));
        }
        Err(Failure::new(format!("{} is not a bundle: it has no events.jsonl", path.display())))
    }

    /// Returns the paths of all files, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &BundlePath> {
        self.0.keys()
    }

    /// Reads a file. Returns `None` if it does not exist or is longer than [`MAX_FILE_BYTES`].
    pub(crate) fn read(&self, file: &BundlePath) -> Result<Option<Vec<u8>>, Failure> {
        let Some(place) = self.0.get(file) else { return Ok(None) };
        let mut bytes = Vec::new();
        place.open()?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_FILE_BYTES))
    }

    /// Returns whether the bundle holds a whole log, which it does if it has a tile.
    pub(crate) fn is_whole(&self) -> bool {
        self.paths().any(|file| matches!(file, BundlePath::Tile(_)))
    }

    /// Returns the number of bytes that a verification reads, for a progress bar: the records, twice.
    pub(crate) fn bytes_to_read(&self) -> u64 {
        2 * self.0[&BundlePath::Events].length
    }

    /// Opens the records, to be read line by line.
    pub(crate) fn events(&self) -> Result<BufReader<Take<File>>, Failure> {
        Ok(BufReader::with_capacity(1 << 20, self.0[&BundlePath::Events].open()?))
    }
}

impl Place {
    fn open(&self) -> Result<Take<File>, Failure> {
        let what = format!("cannot read {}", self.path.display());
        let mut file = File::open(&self.path).context(&what)?;
        file.seek(SeekFrom::Start(self.offset)).context(&what)?;
        Ok(file.take(self.length))
    }
}

/// Lists the files in a folder and its subfolders. `prefix` is the folder's path in the bundle.
fn list_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<BundlePath, Place>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            list_folder(&path, &format!("{name}/"), files)?;
        } else if let Some(file) = BundlePath::parse(&name) {
            let length = fs::metadata(&path)?.len();
            files.insert(file, Place { path, offset: 0, length });
        }
    }
    Ok(())
}

fn list_tar(path: &Path, files: &mut BTreeMap<BundlePath, Place>) -> io::Result<()> {
    let mut tar = tar::Archive::new(File::open(path)?);
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(file) = BundlePath::parse(name.strip_prefix("./").unwrap_or(&name)) else { continue };
        let place = Place { path: path.to_owned(), offset: entry.raw_file_position(), length: entry.size() };
        if files.insert(file, place).is_some() {
            return Err(io::Error::other(format!("{name} appears twice in the tar")));
        }
    }
    Ok(())
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
