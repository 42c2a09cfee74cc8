//! What `sealbus dev` keeps: keys, token, passwords and files, in `.sealbus/` or a folder that goes when it ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sealbus_core::seal::Keyring;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    /// Removed with it when dropped.
    _ephemeral: Option<tempfile::TempDir>,
}

impl Folder {
    /// `.sealbus/` here, kept between runs.
    pub(super) fn kept(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path)
            .map_err(|error| Failure::new(format!("{} could not be made: {error}", path.display())))?;
        Ok(Self { path: std::path::absolute(path)?, _ephemeral: None })
    }

    /// A folder that goes with this value.
    pub(super) fn ephemeral() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("sealbus-").tempdir()?;
        Ok(Self { path: folder.path().to_owned(), _ephemeral: Some(folder) })
    }

    /// Where a server keeps its data.
    pub(super) fn server(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The keyring file, made of the system's randomness where there is none yet.
    pub(super) fn keyring(&self) -> Result<PathBuf, Failure> {
        let path = self.once("keyring.json", || Ok(Keyring::generate_dev(&random::<144>()?)?))?;
        // A folder that was made before there were data keys.
        let kept = Zeroizing::new(fs::read_to_string(&path)?);
        let with_kek = Zeroizing::new(Keyring::with_kek(&kept, &random::<40>()?)?);
        if kept != with_kek {
            let whole = self.write("keyring.json.new", &with_kek)?;
            fs::rename(whole, &path)?;
        }
        Ok(path)
    }

    /// The token, and the file that holds its hash: all tenants, `dev` by default, every scope.
    pub(super) fn token(&self) -> Result<(String, PathBuf), Failure> {
        let secret =
            self.once("token", || Ok(format!("dev-{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())))?;
        let secret = fs::read_to_string(secret)?;
        let hash = sealbus_core::hash::Hash::of(secret.as_bytes()).to_string();
        let tokens = json!({"tokens": [{
            "name": "dev", "sha256": hash, "tenants": ["*"], "default_tenant": "dev",
            "scopes": ["publish", "read", "verify", "log.read", "actor.any", "payload.open", "admin"],
        }]});
        Ok((secret, self.write("tokens.json", &format!("{tokens:#}\n"))?))
    }

    /// A password that stays the same between runs.
    pub(super) fn password(&self, role: &str) -> Result<String, Failure> {
        let file = self.once(&format!("{role}.password"), || {
            Ok(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
        })?;
        Ok(fs::read_to_string(file)?)
    }

    /// Writes a file that only its owner reads.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        let _ = fs::remove_file(&path);
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// A file that is made once and then kept.
    fn once(&self, name: &str, make: impl FnOnce() -> Result<String, Failure>) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        if path.exists() { Ok(path) } else { self.write(name, &make()?) }
    }
}

/// Bytes of the system's generator.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("the system gave no randomness: {error}")))?;
    Ok(bytes)
}
