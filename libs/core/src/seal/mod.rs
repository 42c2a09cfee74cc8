//! Keys, signing and checking.
//!
//! | file | content |
//! |---|---|
//! | `suite` | the bytes of the two suites: plan key, MAC, signed message |
//! | `ed25519` | public keys, and strict verification of their signatures |
//! | `key` | a key of a keyring |
//! | `keyring` | all keys that a process trusts; checking seals |
//! | `file` | keyring files, and the reasons for which they are refused |
//! | `new_key`, `text` | new keys, and changes of keyring files |
//! | `signer` | signing events with the active key |
//! | `pair` | signing notes with the keys of a log or witness |
//! | `proof` | the proof in `key.added` that a key agreed to be added |

mod ed25519;
mod file;
mod key;
mod keyring;
mod new_key;
mod pair;
mod proof;
mod signer;
mod suite;
mod text;
#[cfg(test)]
mod wycheproof;

pub use self::ed25519::PublicKey;
pub use self::file::KeyringError;
pub use self::key::{Status, Window};
pub use self::keyring::{Checked, HeldKey, Keyring};
pub use self::new_key::NewKey;
pub(crate) use self::pair::KeyPair;
pub use self::signer::{Seal, Signer, V1Signer};
pub(crate) use self::suite::request_mac;
pub use self::suite::{check_shape, mac, mac_matches, plan_key, signature_message};
pub use self::text::KeyringText;
pub use crate::key_id::{KeyId, KeyKind, Suite};
