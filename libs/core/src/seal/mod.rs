//! Keys, signing and checking.
//!
//! | file | content |
//! |---|---|
//! | `suite` | the bytes of the two suites: plan key, MAC, signed message |
//! | `ed25519` | public keys, and strict verification of their signatures |
//! | `keyring` | all keys that a process trusts, and checking seals with them |
//! | `file` | keyring files, and the reasons for which they are refused |
//! | `text` | new keys, and changes of keyring files |
//! | `signer` | signing events with the active key |
//! | `proof` | the proof in `key.added` that a key agreed to be added |

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
