//! The search for Postgres and nats-server on this machine, and the check of their versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BackingError;

/// The oldest supported major version of Postgres.
const MIN_POSTGRES_MAJOR: u32 = 15;
/// The oldest supported version of nats-server, as major and minor. Older ones lack metadata of streams and consumers.
const MIN_NATS_VERSION: (u32, u32) = (2, 10);

/// An installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresPrograms {
    /// The folder of `postgres`, `initdb` and `psql`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

/// Returns the folder of `postgres`, `initdb` and `psql`, version 15 or later.
///
/// `SEALBUS_POSTGRES_BIN` names it. If it is not set, the first suitable folder of the PATH is taken, or else the
/// newest version of Debian's packages, under /usr/lib/postgresql.
pub fn postgres_bin() -> Result<PathBuf, BackingError> {
    Ok(postgres()?.bin)
}

/// Returns the Postgres to use, found as [`postgres_bin`] documents.
pub(crate) fn postgres() -> Result<PostgresPrograms, BackingError> {
    if let Some(named) = std::env::var_os("SEALBUS_POSTGRES_BIN").map(PathBuf::from) {
        return postgres_in(&named).ok_or_else(|| BackingError::NoPostgres { looked: named.display().to_string() });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find_map(|folder| postgres_in(&folder));
    let packaged = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        versions.filter_map(|entry| postgres_in(&entry.path().join("bin"))).max_by_key(|found| found.major)
    };
    on_path
        .or_else(packaged)
        .ok_or_else(|| BackingError::NoPostgres { looked: "the PATH and /usr/lib/postgresql".into() })
}

/// Returns the Postgres of a folder if its version is supported. Follows links, since a folder of links may lack
/// programs.
fn postgres_in(folder: &Path) -> Option<PostgresPrograms> {
    let bin = folder.join("initdb").canonicalize().ok()?.parent()?.to_owned();
    let major = postgres_major(&bin)?;
    (major >= MIN_POSTGRES_MAJOR).then_some(PostgresPrograms { bin, major })
}

/// Returns the major version of the server in a folder.
fn postgres_major(bin: &Path) -> Option<u32> {
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1), or 17devel, 17beta1, 17rc1
    let version = version_output(&bin.join("postgres"))?;
    version.split_once("(PostgreSQL) ")?.1.split(['.', ' ', 'd', 'b', 'r']).next()?.trim().parse().ok()
}

/// Returns the path of a nats-server of version 2.10 or later.
///
/// `SEALBUS_NATS_SERVER` names it. If it is not set, these folders are searched in this order: `.tools/bin` of the
/// current folder and of each folder above it, the PATH, and `~/go/bin`, where `go install` puts programs. A version
/// that is too old is an error only if no other is found.
pub(crate) fn nats_server() -> Result<PathBuf, BackingError> {
    if let Some(named) = std::env::var_os("SEALBUS_NATS_SERVER").map(PathBuf::from) {
        return check_nats(&named).unwrap_or_else(|| Err(BackingError::NoNats { looked: named.display().to_string() }));
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(current) = std::env::current_dir() {
        folders.extend(current.ancestors().map(|folder| folder.join(".tools/bin")));
    }
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin")));
    let mut too_old = None;
    for folder in folders {
        match check_nats(&folder.join("nats-server")) {
            Some(Ok(found)) => return Ok(found),
            Some(Err(error)) => too_old = too_old.or(Some(error)),
            None => {}
        }
    }
    Err(too_old.unwrap_or(BackingError::NoNats { looked: ".tools/bin, the PATH and ~/go/bin".into() }))
}

/// Returns `None` if the program does not exist or cannot be run, and an error if its version is too old or unknown.
fn check_nats(path: &Path) -> Option<Result<PathBuf, BackingError>> {
    let output = version_output(path)?;
    let found = output.trim().trim_start_matches("nats-server: ").trim_start_matches('v').to_owned();
    if nats_version(&found).is_some_and(|version| version >= MIN_NATS_VERSION) {
        Some(Ok(path.to_owned()))
    } else {
        Some(Err(BackingError::NatsTooOld { path: path.to_owned(), found }))
    }
}

/// Returns major and minor of a version such as `2.12.3`.
fn nats_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns what a program prints for `--version`, or `None` if it cannot be run.
fn version_output(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Writes a program that claims to be nats-server of a version.
    fn fake_nats_server(folder: &Path, version: &str) -> PathBuf {
        let path = folder.join("nats-server");
        std::fs::write(&path, format!("#!/bin/sh\necho 'nats-server: v{version}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_link_to_postgres_is_followed_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let installed = postgres().unwrap();
        for program in ["initdb", "postgres"] {
            symlink(installed.bin.join(program), folder.path().join(program)).unwrap();
        }
        assert_eq!(postgres_in(folder.path()), Some(installed));
    }

    #[test]
    fn a_nats_server_before_2_10_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (version, accepted) in
            [("2.9.10", false), ("2.10.0", true), ("2.15.2", true), ("3.0.0-rc1", true), ("1.4.1", false)]
        {
            let checked = check_nats(&fake_nats_server(folder.path(), version)).expect("the program exists");
            assert_eq!(checked.is_ok(), accepted, "nats-server {version} accepted");
            if let Err(error) = checked {
                let message = error.to_string();
                assert!(message.contains(version) && message.contains("2.10"), "{message}");
            }
        }
        assert!(check_nats(&folder.path().join("nothing")).is_none());
    }
}
