//! The search for Postgres and nats-server on this machine, and the check of their versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BackingError;

/// The oldest supported major version of Postgres.
const MIN_POSTGRES_MAJOR: u32 = 15;
/// The oldest supported version of nats-server. Older ones lack metadata of streams and consumers.
const MIN_NATS_VERSION: &[u32] = &[2, 10];

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
    let not_found = |looked: &str| {
        BackingError::Unusable(format!(
            "no Postgres 15 or later was found (looked in {looked}); install Debian's package postgresql, or name its folder \
             with SEALBUS_POSTGRES_BIN"
        ))
    };
    if let Some(named) = std::env::var_os("SEALBUS_POSTGRES_BIN") {
        return postgres_in(named.as_ref()).ok_or_else(|| not_found(&named.to_string_lossy()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find_map(|folder| postgres_in(&folder));
    let packaged = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        versions.filter_map(|entry| postgres_in(&entry.path().join("bin"))).max_by_key(|found| found.major)
    };
    on_path.or_else(packaged).ok_or_else(|| not_found("the PATH and /usr/lib/postgresql"))
}

/// Returns the Postgres of a folder if its version is supported. Follows links, since a folder of links may lack
/// programs.
fn postgres_in(folder: &Path) -> Option<PostgresPrograms> {
    let bin = folder.join("initdb").canonicalize().ok()?.parent()?.to_owned();
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1), or 17devel, 17beta1, 17rc1
    let output = version_output(&bin.join("postgres"))?;
    let version = output.split_once("(PostgreSQL) ")?.1;
    let major = version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()?;
    (major >= MIN_POSTGRES_MAJOR).then_some(PostgresPrograms { bin, major })
}

/// Returns the path of a nats-server of version 2.10 or later.
///
/// `SEALBUS_NATS_SERVER` names it. If it is not set, these folders are searched in this order: `.tools/bin` of the
/// current folder and of each folder above it, the PATH, and `~/go/bin`, where `go install` puts programs. A version
/// that is too old is an error only if no other is found.
pub(crate) fn nats_server() -> Result<PathBuf, BackingError> {
    let not_found = |looked: &str| {
        BackingError::Unusable(format!(
            "no nats-server was found (looked in {looked}); `make backing` installs one into .tools/bin, or name one with \
             SEALBUS_NATS_SERVER"
        ))
    };
    if let Some(named) = std::env::var_os("SEALBUS_NATS_SERVER") {
        return check_nats(named.as_ref()).unwrap_or_else(|| Err(not_found(&named.to_string_lossy())));
    }
    let current = std::env::current_dir().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin"));
    let tools = current.ancestors().map(|folder| folder.join(".tools/bin"));
    let mut too_old = None;
    for folder in tools.chain(std::env::split_paths(&path)).chain(home) {
        match check_nats(&folder.join("nats-server")) {
            Some(Ok(found)) => return Ok(found),
            Some(Err(error)) => too_old = too_old.or(Some(error)),
            None => {}
        }
    }
    Err(too_old.unwrap_or_else(|| not_found(".tools/bin, the PATH and ~/go/bin")))
}

/// Returns `None` if the program does not exist or cannot be run, and an error if its version is too old or unknown.
fn check_nats(path: &Path) -> Option<Result<PathBuf, BackingError>> {
    // nats-server: v2.12.3
    let output = version_output(path)?;
    let found = output.trim().trim_start_matches("nats-server: ").trim_start_matches('v');
    let version: Vec<u32> = found.split('.').map_while(|number| number.parse().ok()).collect();
    Some(if version.as_slice() >= MIN_NATS_VERSION {
        Ok(path.to_owned())
    } else {
        Err(BackingError::Unusable(format!(
            "{} is nats-server {found}, but 2.10 or later is needed (Debian 12's package is older); `make backing` \
             installs one into .tools/bin",
            path.display()
        )))
    })
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
