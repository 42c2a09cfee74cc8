//! Payloads encrypted for a data subject, and their erasure (docs/spec/integrity.md#erasure-envelopes).
//!
//! A *data key* belongs to one data subject of one tenant. It is stored in one row, wrapped under a `kek-` key of the keyring.
//! When this row and the last backup of it are destroyed, no copy of a payload under the key can be read. The *envelope* of an
//! event is what is hashed, sealed and stored, so its chain and all proofs stay valid without the key.
//!
//! | file | content |
//! |---|---|
//! | `subject` | the name of a data subject |
//! | `data_key` | a data key, and the keys derived from it |
//! | `wrap` | a data key as it is stored, wrapped under a `kek-` key |
//! | `plaintext` | what is encrypted: the data, and the metadata that do not stay clear |
//! | `binding` | the event to which an envelope is bound |
//! | `form` | the text of an envelope |
//! | `open` | sealing and opening an envelope |
//! | `aead` | XChaCha20-Poly1305 |
//!
//! An envelope commits to its key; otherwise a ciphertext could be constructed that opens to different texts under two keys. It
//! is bound to its event; in another event it does not open. Keys and nonces are passed in, since this crate has no randomness.

mod aead;
mod binding;
mod data_key;
mod form;
mod open;
mod plaintext;
mod subject;
mod wrap;

pub use self::aead::Nonce;
#[cfg(test)]
pub(crate) use self::aead::{decrypt, encrypt};
pub use self::binding::Binding;
pub use self::data_key::DataKey;
pub use self::form::Envelope;
pub use self::open::Unopened;
pub use self::plaintext::Plaintext;
pub use self::subject::DataSubject;
pub use self::wrap::{UnwrapError, WrappedKey};
