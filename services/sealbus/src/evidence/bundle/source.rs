//! The files of a bundle that is read: of a folder, or of a tar, which is not unpacked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sealbus_core::verify::bundle::BundlePath;

use crate::failure::Failure;

/// The longest file but `events.jsonl` that a bundle has: a note. What is longer is none of them, and read no further.
const MAX_FILE: u64 = 1 << 20;

/// A bundle's files, by their paths. Files that are no part of a bundle are passed over.
#[derive(Debug)]
pub(crate) enum Source {
    /// In a folder.
    Folder(PathBuf, Vec<BundlePath>),
    /// In a tar: where each begins, and its length.
    Tar(PathBuf, BTreeMap<BundlePath, (u64, u64)>),
}

impl Source {
    /// Looks at what is there. A folder or a tar, by what the path is.
    ///
    /// # Errors
    /// It cannot be read, a file stands twice in the tar, or there is no `events.jsonl`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
        let source = if path.is_dir() {
            let mut files = Vec::new();
            gather(path, "", &mut files).map_err(unreadable)?;
            files.sort();
            Self::Folder(path.to_owned(), files)
        } else {
            Self::Tar(path.to_owned(), entries(path).map_err(unreadable)?)
        };
        if source.paths().any(|file| *file == BundlePath::Events) {
            return Ok(source);
        }
        Err(Failure::new(format!("{} is no bundle: it has no events.jsonl", path.display())))
    }

    /// All files, in order.
    pub(crate) fn paths(&self) -> Box<dyn Iterator<Item = &BundlePath> + '_> {
        match self {
            Self::Folder(_, files) => Box::new(files.iter()),
            Self::Tar(_, files) => Box::new(files.keys()),
        }
    }

    /// A file's bytes; none where it is not there or longer than any but `events.jsonl` may be.
    pub(crate) fn read(&self, file: &BundlePath) -> Result<Option<Vec<u8>>, Failure> {
        let Some(reader) = self.reader(file)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_FILE))
    }

    /// Whether it is of a whole log: it has a tile then.
    pub(crate) fn is_whole(&self) -> bool {
        self.paths().any(|file| matches!(file, BundlePath::Tile(_)))
    }

    /// Bytes that a verification reads, for a progress bar: the records, twice.
    pub(crate) fn size(&self) -> Result<u64, Failure> {
        let length = match self {
            Self::Folder(folder, _) => fs::metadata(folder.join(BundlePath::Events.to_string()))?.len(),
            Self::Tar(_, files) => files.get(&BundlePath::Events).map_or(0, |(_, length)| *length),
        };
        Ok(2 * length)
    }

    /// The records, to be read line by line.
    pub(crate) fn events(&self) -> Result<impl BufRead, Failure> {
        let reader = self.reader(&BundlePath::Events)?.ok_or_else(|| Failure::new("there is no events.jsonl"))?;
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
        let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
        let mut opened = File::open(path).map_err(unreadable)?;
        opened.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        Ok(Some(opened.take(length)))
    }
}

/// What lies in a folder, and in those below it.
fn gather(folder: &Path, before: &str, files: &mut Vec<BundlePath>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{before}{name}");
        if entry.path().is_dir() {
            gather(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.extend(BundlePath::parse(&path));
        }
    }
    Ok(())
}

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
            return Err(io::Error::other(format!("{name} stands twice in it")));
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
    fn a_tars_files_are_read_where_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        let tile = [7; 32];
        tar_of(&path, &[("./events.jsonl", b"{}\n"), ("tile/0/000.p/1", &tile), ("README", b"for people")]);
        let source = Source::open(&path).unwrap();
        let names: Vec<_> = source.paths().map(ToString::to_string).collect();
        assert_eq!(names, ["tile/0/000.p/1", "events.jsonl"]);
        let read = |name: &str| source.read(&BundlePath::parse(name).unwrap()).unwrap();
        assert_eq!(read("tile/0/000.p/1"), Some(tile.to_vec()));
        assert_eq!(read("events.jsonl"), Some(b"{}\n".to_vec()));
        assert_eq!(read("checkpoint"), None);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
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
