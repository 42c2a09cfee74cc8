//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): its nonces are long enough to be random for as long as a key lives.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// 24 bytes from the system's generator, fresh for each encryption.
pub type Nonce = [u8; 24];

/// Bytes of the tag, which stands at the end of a ciphertext.
pub(super) const TAG_LENGTH: usize = 16;

/// The ciphertext and its tag.
pub(crate) fn encrypt(key: &[u8; 32], nonce: &Nonce, plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    // With room for the tag, or the plaintext would be left behind where the buffer grows.
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
    buffer.extend_from_slice(plaintext);
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into())
        .expect("XChaCha20 takes up to 256 GiB, and bodies are capped far below");
    buffer.extend_from_slice(&tag);
    buffer
}

/// The plaintext; `None` where key, nonce, associated data or a byte of the ciphertext is another.
pub(crate) fn decrypt(key: &[u8; 32], nonce: &Nonce, ciphertext: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (text, tag) = ciphertext.split_last_chunk::<TAG_LENGTH>()?;
    let mut buffer = Zeroizing::new(text.to_vec());
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into(), tag.into()).ok()?;
    Some(buffer)
}
