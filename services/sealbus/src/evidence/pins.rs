//! What a verifier pins: the origin, a keyring, and a policy with the keys of the log and of its witnesses. No other key is
//! trusted.

use std::fs;
use std::path::Path;

use sealbus_core::event::is_origin;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_runtime::files::load_keyring;
use sealbus_runtime::settings::{Settings, table};

use crate::failure::{Context as _, Failure};
use crate::wiring;

/// The files of a folder that `sealbus trust` writes.
const ORIGIN: &str = "origin";
const KEYRING: &str = "keyring.json";
const POLICY: &str = "policy";

pub(crate) struct Pins {
    pub origin: String,
    /// The keys that are trusted to seal events, with their secrets if those are available.
    pub keyring: Keyring,
    /// The log's keys, the witnesses' keys, and the quorum.
    pub policy: Policy,
    policy_file: String,
}

impl Pins {
    /// Returns the pins of an operator: the keyring of `SEALBUS_KEYRING` and the policy of `SEALBUS_POLICY`. Without a
    /// policy, the log's keys are those of the keyring, and there is no witness.
    pub(crate) fn of_deployment(settings: &Settings, origin: &str) -> Result<Self, Failure> {
        let keyring = wiring::keyring(settings)?;
        let policy_file = match settings.find(table::POLICY) {
            Some(path) => read(&path)?,
            None => Policy::of_keyring(origin, &keyring)?,
        };
        Self::new(origin, keyring, policy_file)
    }

    /// Reads a folder that `sealbus trust` wrote. If its keyring holds secrets, MACs are checked too.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Failure> {
        let origin = read(&folder.join(ORIGIN))?;
        let origin = origin.strip_suffix('\n').unwrap_or(&origin);
        if !is_origin(origin) {
            return Err(Failure::new(format!("{} does not contain a valid origin", folder.join(ORIGIN).display())));
        }
        let keyring = load_keyring(&folder.join(KEYRING))?;
        Self::new(origin, keyring, read(&folder.join(POLICY))?)
    }

    fn new(origin: &str, keyring: Keyring, policy_file: String) -> Result<Self, Failure> {
        let policy = Policy::parse(policy_file.as_bytes())?;
        Ok(Self { origin: origin.to_owned(), keyring, policy, policy_file })
    }

    /// Writes a folder for a verifier. It contains no secret.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let what = format!("cannot write {}", folder.display());
        fs::create_dir_all(folder).context(&what)?;
        for (name, text) in [
            (ORIGIN, format!("{}\n", self.origin)),
            (KEYRING, self.keyring.to_public_json()),
            (POLICY, self.policy_file.clone()),
        ] {
            fs::write(folder.join(name), text).context(&what)?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).context(format_args!("cannot read {}", path.display()))
}
