//! Keys, and what they sign and check.
//!
//! | file | what |
//! |---|---|
//! | `suite` | the two suites' bytes: plan key, MAC, signed message |
//! | `ed25519` | public keys and their signatures, by the strict rules |
//! | `key` | one key of a keyring |
//! | `keyring` | all keys that a process trusts: checking |
//! | `file` | the keyring's files: reading them, and all that refuses the start |
//! | `new_key`, `text` | making a key, and a keyring file that it is added to |
//! | `signer` | the one active key: signing |
//! | `pair` | the keys of log and witness: signing notes |
//! | `proof` | `key.added`: how a key says that it is held |

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
