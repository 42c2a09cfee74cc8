//! Where Postgres and nats-server are on this machine, and whether they are new enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BackingError;

/// The oldest Postgres that is taken.
const POSTGRES_FLOOR: u32 = 15;
/// The oldest nats-server that is taken: 2.10 brought single filters by subject transform, metadata and more.
const NATS_FLOOR: (u32, u32) = (2, 10);

/// The folder of `postgres`, `initdb` and their kind, version 15 or later: `SEALBUS_POSTGRES_BIN`, else that of the programs
/// on the PATH, else the newest that Debian's packages put under /usr/lib/postgresql.
pub fn postgres_bin() -> Result<PathBuf, BackingError> {
    if let Some(named) = std::env::var_os("SEALBUS_POSTGRES_BIN").map(PathBuf::from) {
        return postgres_in(&named).ok_or_else(|| BackingError::NoPostgres { looked: named.display().to_string() });
    }
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort_by_key(|folder| std::cmp::Reverse(postgres_major(folder)));
    folders.extend(debian);
    folders
        .iter()
        .find_map(|folder| postgres_in(folder))
        .ok_or_else(|| BackingError::NoPostgres { looked: "the PATH and /usr/lib/postgresql".into() })
}

/// The folder that holds the programs of a Postgres that is new enough: a link on the PATH may stand alone, so it is followed.
fn postgres_in(folder: &Path) -> Option<PathBuf> {
    let bin = folder.join("initdb").canonicalize().ok()?.parent()?.to_owned();
    (postgres_major(&bin) >= Some(POSTGRES_FLOOR)).then_some(bin)
}

/// The major version of the server in a folder.
pub(crate) fn postgres_major(bin: &Path) -> Option<u32> {
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    let said = said(&bin.join("postgres"))?;
    said.split_once("(PostgreSQL) ")?.1.split(['.', ' ', 'd', 'b', 'r']).next()?.trim().parse().ok()
}

/// A nats-server of 2.10 or later: `SEALBUS_NATS_SERVER`, else `.tools/bin` of this folder or one above it, else the PATH,
/// else where `go install` puts programs. An older one is passed over while there is another to look at.
pub fn nats_server() -> Result<PathBuf, BackingError> {
    if let Some(named) = std::env::var_os("SEALBUS_NATS_SERVER").map(PathBuf::from) {
        return check_nats(&named).unwrap_or_else(|| Err(BackingError::NoNats { looked: named.display().to_string() }));
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(here) = std::env::current_dir() {
        folders.extend(here.ancestors().map(|folder| folder.join(".tools/bin")));
    }
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin")));
    let mut too_old = None;
    for folder in folders {
        match check_nats(&folder.join("nats-server")) {
            Some(Ok(found)) => return Ok(found),
            Some(Err(old)) => too_old = too_old.or(Some(old)),
            None => {}
        }
    }
    Err(too_old.unwrap_or(BackingError::NoNats { looked: ".tools/bin, the PATH and ~/go/bin".into() }))
}

/// None where there is no such program.
fn check_nats(path: &Path) -> Option<Result<PathBuf, BackingError>> {
    let said = said(path)?;
    let found = said.trim().trim_start_matches("nats-server: ").trim_start_matches('v').to_owned();
    if nats_version(&found).is_some_and(|version| version >= NATS_FLOOR) {
        Some(Ok(path.to_owned()))
    } else {
        Some(Err(BackingError::NatsTooOld { path: path.to_owned(), found }))
    }
}

fn nats_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn said(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that says it is nats-server of some version.
    fn pretender(folder: &Path, version: &str) -> PathBuf {
        let path = folder.join("nats-server");
        std::fs::write(&path, format!("#!/bin/sh\necho 'nats-server: v{version}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_link_is_followed_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let bin = postgres_bin().unwrap();
        for program in ["initdb", "postgres"] {
            std::os::unix::fs::symlink(bin.join(program), folder.path().join(program)).unwrap();
        }
        assert_eq!(postgres_in(folder.path()), Some(bin));
    }

    #[test]
    fn the_floor_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        for (version, taken) in
            [("2.9.10", false), ("2.10.0", true), ("2.15.2", true), ("3.0.0-rc1", true), ("1.4.1", false)]
        {
            let found = check_nats(&pretender(folder.path(), version)).expect("it is there");
            assert_eq!(found.is_ok(), taken, "{version}");
            if let Err(refused) = found {
                let refused = refused.to_string();
                assert!(refused.contains(version) && refused.contains("2.10"), "{refused}");
            }
        }
        assert!(check_nats(&folder.path().join("nothing")).is_none());
    }
}
