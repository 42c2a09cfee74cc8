//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). Its nonces are long enough to be chosen at random for the life of a key.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// A nonce: 24 bytes from the system's random generator, new for each encryption.
pub type Nonce = [u8; 24];

/// Length in bytes of the tag at the end of a ciphertext.
pub(super) const TAG_LENGTH: usize = 16;

/// Returns the ciphertext followed by its tag.
pub(crate) fn encrypt(key: &[u8; 32], nonce: &Nonce, plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    // The buffer has room for the tag: if it had to grow, a copy of the plaintext would remain in memory.
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
    buffer.extend_from_slice(plaintext);
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into())
        .expect("XChaCha20 encrypts up to 256 GiB, and bodies are limited to far less");
    buffer.extend_from_slice(&tag);
    buffer
}

/// Returns the plaintext, or `None` if the key, the nonce, the associated data or the ciphertext is not the right one.
pub(crate) fn decrypt(key: &[u8; 32], nonce: &Nonce, ciphertext: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (text, tag) = ciphertext.split_last_chunk::<TAG_LENGTH>()?;
    let mut buffer = Zeroizing::new(text.to_vec());
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into(), tag.into()).ok()?;
    Some(buffer)
}
