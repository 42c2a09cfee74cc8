//! Leaves of the log: the header of an event and its seal.

use crate::event::{FormatError, Header};
use crate::key_id::Suite;
use crate::wire::{Fields, lp};

const LABEL: &str = "sealbus/leaf/v1\n";

/// The part of an event that the log, a message and a proof contain. It suffices to check the seal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// The sealed fields.
    pub header: Header,
    /// MAC of 32 bytes; empty under an Ed25519 key.
    pub mac: Vec<u8>,
    /// Signature of 64 bytes; empty under an HMAC key.
    pub sig: Vec<u8>,
}

impl Leaf {
    /// Decodes a leaf. Refuses what [`Header::decode`] refuses, a MAC or signature that does not belong to the suite of the key
    /// or has another length, and additional bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::after(LABEL, bytes)?;
        let header = Header::decode(fields.bytes("header")?)?;
        let (mac, sig) = (fields.bytes("mac")?, fields.bytes("sig")?);
        fields.end()?;
        let lengths = match header.kid.suite() {
            Some(Suite::Hmac) => (32, 0),
            Some(Suite::Ed25519) | None => (0, 64),
        };
        if (mac.is_empty(), sig.is_empty()) != (lengths.0 == 0, lengths.1 == 0) {
            return Err(FormatError::Suite);
        }
        FormatError::require("seal", (mac.len(), sig.len()) == lengths, "a MAC of 32 bytes or a signature of 64")?;
        Ok(Self { header, mac: mac.to_vec(), sig: sig.to_vec() })
    }

    /// Returns the bytes of the leaf.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.header, &self.mac, &self.sig)
    }
}

pub(super) fn encode(header: &Header, mac: &[u8], sig: &[u8]) -> Vec<u8> {
    let header = header.encode();
    let mut bytes = LABEL.as_bytes().to_vec();
    for part in [&header, mac, sig] {
        lp(&mut bytes, part);
    }
    bytes
}
