//! A path that an operator names: one file, or a directory of them.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file at this path, or the files with one of these extensions in the directory there, in order of their names.
///
/// Hidden ones are left out: the directory of a Kubernetes secret or `ConfigMap` has some beside the files themselves.
pub(crate) fn files_at(path: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let wanted = file.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        if wanted && !hidden {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
