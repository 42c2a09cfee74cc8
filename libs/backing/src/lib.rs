//! A Postgres and a nats-server as child processes, for `sealbus dev` and for tests that need real servers.
//!
//! [`Postgres`] and [`Nats`] run programs that are installed on this machine. They listen on 127.0.0.1 only, with a
//! random password, on a given or a free port. Their folder is kept, or removed together with the server.
//!
//! Two guarantees hold however this process ends, even by SIGKILL: a server never outlives the process that started it,
//! and a folder never has two servers at a time. Both are the work of `supervisor`. Postgres refuses to run as root, so
//! a root process runs it as another user, which `account` looks up.

mod account;
mod error;
mod find;
mod nats;
mod port;
mod postgres;
mod supervisor;

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::account::Account;
pub use crate::error::BackingError;
pub use crate::find::postgres_bin;
pub use crate::nats::{Nats, NatsOptions};
pub use crate::port::free_port;
pub use crate::postgres::{Postgres, PostgresOptions};
pub use crate::supervisor::SupervisedServer;

/// Returns a random password: 244 random bits in hex.
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Creates a folder that only the server's user can enter, unless it exists, and returns its absolute path. Its parents are
/// created with the usual mode.
fn create_folder(folder: &Path, account: Option<Account>) -> Result<PathBuf, BackingError> {
    let folder = std::path::absolute(folder).map_err(BackingError::io("cannot resolve the folder"))?;
    let create = || {
        folder.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)
    };
    create().map_err(BackingError::io(format!("cannot create {}", folder.display())))?;
    account.map_or(Ok(()), |account| account.own(&folder))?;
    Ok(folder)
}

/// Creates or replaces a file that only the server's user can read, and returns its path.
fn write_secret(folder: &Path, name: &str, text: &str, account: Option<Account>) -> Result<PathBuf, BackingError> {
    let path = folder.join(name);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        Ok(file.persist(&path).map(drop)?)
    };
    write().map_err(BackingError::io(format!("cannot write {}", path.display())))?;
    account.map_or(Ok(()), |account| account.own(&path))?;
    Ok(path)
}
