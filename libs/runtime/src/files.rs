//! Keyrings, catalogs and other files that an operator names by a path; and files that hold payloads or secrets.
//!
//! A path is a file, or a folder whose files are read in order of their names. Hidden files of a folder are skipped: the
//! folder of a Kubernetes secret or `ConfigMap` holds some, and so do folders in which an editor is at work.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sealbus_core::catalog::{Catalog, CatalogError};
use sealbus_core::seal::{Keyring, KeyringError, KeyringText};
use zeroize::Zeroizing;

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// Reasons why a catalog is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFilesError {
    /// A file or folder cannot be read.
    #[error("cannot load the catalog")]
    Read(#[from] ReadError),
    /// The files are not a catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Reasons why a keyring is not loaded. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFilesError {
    /// A file or folder cannot be read.
    #[error("cannot load the keyring")]
    Read(#[from] ReadError),
    /// The folder holds no key.
    #[error("the keyring folder {} holds no .json file", .0.display())]
    NoFile(PathBuf),
    /// The files are not a keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// Returns options that create a file which only its owner can read and write. A file that exists keeps its mode.
///
/// Every file that Sealbus creates and that holds payloads, secrets or evidence is created with these options.
pub fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Returns whether every user of this machine can read or change a file: its mode allows it, and no folder above it prevents
/// it. Returns `false` if that cannot be found out, since the file cannot be used either.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    let allows = |path: &Path, bits: u32| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bits != 0);
    fs::canonicalize(path)
        .is_ok_and(|path| allows(&path, 0o006) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001)))
}

/// Returns the file at `path`, or the files of the folder there that have one of `extensions`, in order of their names.
/// Hidden files are skipped.
pub(crate) fn files_at(path: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |source| ReadError { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_wanted = |file: &PathBuf| {
        let is_hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && file.extension().is_some_and(|ending| extensions.iter().any(|wanted| ending == *wanted))
    };
    let entries = fs::read_dir(path).map_err(failed)?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(failed)?;
    let mut files: Vec<PathBuf> = paths.into_iter().filter(is_wanted).collect();
    files.sort();
    Ok(files)
}

/// Reads the YAML file at `path`, or the `.yaml` and `.yml` files of the folder there; returns each file's path and text.
pub fn read_yaml(path: &Path) -> Result<Vec<(String, String)>, ReadError> {
    let files = files_at(path, &["yaml", "yml"])?;
    files.into_iter().map(|file| Ok((file.display().to_string(), read(&file)?))).collect()
}

/// Loads the catalog: the built-in files, and the YAML files at `path` where one is given.
pub fn load_catalog(path: Option<&Path>) -> Result<Catalog, CatalogFilesError> {
    let own = path.map(read_yaml).transpose()?.unwrap_or_default();
    Ok(Catalog::read(&own)?)
}

/// Returns the files of the keyring at `path`: the file there, or the `.json` files of the folder there.
pub fn keyring_files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    files_at(path, &["json"])
}

/// Loads the keyring at `path`. The files of a folder are one keyring together.
pub fn load_keyring(path: &Path) -> Result<Keyring, KeyringFilesError> {
    let files = keyring_files(path)?;
    if files.is_empty() {
        return Err(KeyringFilesError::NoFile(path.to_owned()));
    }
    let mut texts = Vec::new();
    for file in files {
        texts.push(KeyringText::new(Zeroizing::new(read(&file)?))?);
    }
    Ok(Keyring::of_texts(&texts)?)
}

fn read(path: &Path) -> Result<String, ReadError> {
    fs::read_to_string(path).map_err(|source| ReadError { path: path.to_owned(), source })
}
