//! The folder of `sealbus dev` with keys, token, passwords and files: `.sealbus/`, or a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};

use sealbus_core::hash::Hash;
use sealbus_core::seal::Keyring;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::failure::{Context as _, Failure};
use crate::wiring::{create_private_file, random_bytes, remove_if_exists};

pub(super) struct Folder {
    path: PathBuf,
    /// Removes a temporary folder when it is dropped.
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// Opens a folder that is kept between runs, and creates it if it does not exist.
    pub(super) fn persistent(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).context(format_args!("cannot create {}", path.display()))?;
        Ok(Self { path: std::path::absolute(path)?, _temporary: None })
    }

    /// Creates a folder that is removed when this value is dropped.
    pub(super) fn temporary() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("sealbus-").tempdir()?;
        Ok(Self { path: folder.path().to_owned(), _temporary: Some(folder) })
    }

    /// Returns the data folder of a server.
    pub(super) fn server(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the keyring file, which is created if it does not exist.
    pub(super) fn keyring(&self) -> Result<PathBuf, Failure> {
        let path = self.write_once("keyring.json", || Ok(Keyring::generate_dev(&*random_bytes()?)?))?;
        // A folder of an earlier version may have a keyring without a kek- key.
        let text = Zeroizing::new(fs::read_to_string(&path)?);
        let with_kek = Zeroizing::new(Keyring::with_kek(&text, &*random_bytes()?)?);
        if text != with_kek {
            let new = self.write("keyring.json.new", &with_kek)?;
            fs::rename(new, &path)?;
        }
        Ok(path)
    }

    /// Returns the token, and the token file with its hash. The token has all tenants, `dev` by default, and every scope.
    pub(super) fn token(&self) -> Result<(String, PathBuf), Failure> {
        let file = self.write_once("token", || Ok(format!("dev-{}", random_text())))?;
        let token = fs::read_to_string(file)?;
        let tokens = json!({"tokens": [{
            "name": "dev", "sha256": Hash::of(token.as_bytes()).to_string(), "tenants": ["*"], "default_tenant": "dev",
            "scopes": ["publish", "read", "verify", "log.read", "actor.any", "payload.open", "admin"],
        }]});
        Ok((token, self.write("tokens.json", &format!("{tokens:#}\n"))?))
    }

    /// Returns the password of a database role, which stays the same between runs.
    pub(super) fn password(&self, role: &str) -> Result<String, Failure> {
        let file = self.write_once(&format!("{role}.password"), || Ok(random_text()))?;
        Ok(fs::read_to_string(file)?)
    }

    /// Writes a file that only its owner can read, replacing an existing one.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        remove_if_exists(&path)?;
        create_private_file(&path, text)?;
        Ok(path)
    }

    /// Writes a file unless it exists.
    fn write_once(&self, name: &str, text: impl FnOnce() -> Result<String, Failure>) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        if path.exists() { Ok(path) } else { self.write(name, &text()?) }
    }
}

/// Returns a text with the randomness of two UUIDs.
fn random_text() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
