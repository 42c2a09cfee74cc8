//! Erasure: payloads encrypted for a data subject, and forgotten by destroying its key (INTEGRITY, Erasure).
//!
//! A *data key* belongs to one data subject of one tenant, and is stored in one place, wrapped under a `kek-` key of the
//! keyring. Once that row is destroyed, and the last backup that holds it, no copy of a payload under it can be read. What is
//! hashed, sealed and stored of such an event is its *envelope*, so the chain and every proof stay whole without the key.
//!
//! | file | what |
//! |---|---|
//! | `subject` | what a data subject is called |
//! | `data_key` | the key itself, and what is derived from it |
//! | `wrap` | a data key as it is stored, under a `kek-` key |
//! | `plaintext` | what an envelope hides: the data, and the metadata that are not clear |
//! | `binding` | the event that an envelope belongs to |
//! | `form` | the envelope's text, written and strictly read |
//! | `open` | sealing an envelope, opening it, and what can be wrong with it |
//! | `aead` | XChaCha20-Poly1305 |
//!
//! An envelope commits to its key: without that, one ciphertext could be made to open to two texts under two keys. It is
//! bound to its event: moved to another, it does not open. Keys and nonces are handed in, since there is no randomness here.

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
