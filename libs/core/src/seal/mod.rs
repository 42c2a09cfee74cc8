//! Keys, signing and checking.

mod ed25519;
mod file;
mod keyring;
mod proof;
mod signer;
mod suite;
mod text;
#[cfg(test)]
mod wycheproof;

pub use self::ed25519::PublicKey;
pub use self::file::KeyringError;
pub use self::keyring::{Checked, HeldKey, Keyring, Status, Window};
pub use self::signer::{Seal, Signer, V1Signer};
pub(crate) use self::suite::request_mac;
pub use self::suite::{check_shape, mac, mac_matches, plan_key, signature_message};
pub use self::text::{KeyringText, NewKey};
pub use crate::key_id::{KeyId, KeyKind, Suite};
