//! The files of a bundle that is read: from a folder, or from a tar without unpacking it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
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
    /// Whether the path may be a link, which it may only if the caller named it.
    follow: Follow,
    offset: u64,
    length: u64,
}

/// What happens with a symbolic link.
#[derive(Clone, Copy, Debug)]
enum Follow {
    /// The file that it points to is opened.
    Links,
    /// It is refused.
    Nothing,
}

/// Opens a regular file. Does not wait for the other end of a pipe, as opening one does otherwise.
fn open_file(path: &Path, follow: Follow) -> io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    if matches!(follow, Follow::Nothing) {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

fn not_regular(path: &Path) -> io::Error {
    io::Error::other(format!("{} is not a regular file", path.display()))
}

impl Source {
    /// Lists the files of a bundle: of a folder if the path is one, otherwise of a tar.
    ///
    /// # Errors
    /// The path cannot be read, a folder has something other than regular files and folders, a file appears twice in the tar, or
    /// `events.jsonl` is missing.
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
        let mut file = open_file(&self.path, self.follow).context(&what)?;
        file.seek(SeekFrom::Start(self.offset)).context(&what)?;
        Ok(file.take(self.length))
    }
}

/// Lists the files in a folder and its subfolders. `prefix` is the folder's path in the bundle.
fn list_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<BundlePath, Place>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Neither this nor the metadata of an entry follows a link, which could lead out of the bundle or back into it.
        let (path, kind) = (entry.path(), entry.file_type()?);
        if !kind.is_dir() && !kind.is_file() {
            return Err(not_regular(&path));
        }
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            list_folder(&path, &format!("{name}/"), files)?;
        } else if let Some(file) = BundlePath::parse(&name) {
            let length = entry.metadata()?.len();
            files.insert(file, Place { path, follow: Follow::Nothing, offset: 0, length });
        }
    }
    Ok(())
}

fn list_tar(path: &Path, files: &mut BTreeMap<BundlePath, Place>) -> io::Result<()> {
    let mut tar = tar::Archive::new(open_file(path, Follow::Links)?);
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(file) = BundlePath::parse(name.strip_prefix("./").unwrap_or(&name)) else { continue };
        let follow = Follow::Links;
        let place = Place { path: path.to_owned(), follow, offset: entry.raw_file_position(), length: entry.size() };
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
    fn links_and_pipes_are_refused() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::write(&outside, "").unwrap();
        let refused = |make: &dyn Fn(&Path)| {
            let bundle = tempfile::tempdir_in(folder.path()).unwrap();
            fs::write(bundle.path().join("events.jsonl"), "").unwrap();
            fs::create_dir(bundle.path().join("anchors")).unwrap();
            assert!(Source::open(bundle.path()).is_ok());
            make(bundle.path());
            let message = Source::open(bundle.path()).unwrap_err().message;
            assert!(message.contains("is not a regular file"), "{message}");
        };
        let pipe = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        };
        refused(&|bundle| symlink(bundle, bundle.join("anchors/loop")).unwrap());
        refused(&|bundle| symlink(".", bundle.join("tile")).unwrap());
        refused(&|bundle| symlink(&outside, bundle.join("checkpoint")).unwrap());
        refused(&|bundle| pipe(&bundle.join("anchors/0")));
        refused(&|bundle| {
            let events = bundle.join("events.jsonl");
            fs::remove_file(&events).unwrap();
            pipe(&events);
        });
        // A pipe in place of a tar, and a file that was exchanged after the folder was listed.
        let path = folder.path().join("b.tar");
        pipe(&path);
        assert!(Source::open(&path).unwrap_err().message.contains("is not a regular file"));
        let bundle = tempfile::tempdir().unwrap();
        let events = bundle.path().join("events.jsonl");
        fs::write(&events, "").unwrap();
        let source = Source::open(bundle.path()).unwrap();
        fs::remove_file(&events).unwrap();
        symlink(&outside, &events).unwrap();
        source.events().unwrap_err();
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
