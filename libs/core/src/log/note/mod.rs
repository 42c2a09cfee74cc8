//! Signed notes (c2sp.org/signed-note): a text, an empty line, and the lines that sign it.
//!
//! ```text
//! bus.example/eu-1
//! 20
//! xp6QHXSCwRuHMg1lie9OEGGrDS17MuzFR5lG+9Rbwwo=
//!
//! — bus.example/eu-1 UzKvcYDpoNTY4oWGNLo1AxtIhUZTeKQhT+0M+O1ivaKIetsAiPP4AXkQbVl+UjOLDPptKNrrBjrEYy9uB+Mu8S0g/gU=
//! ```
//!
//! A text means nothing until [`Note::verify`] has found a known key's signature on it.

mod key;
mod name;
mod signature;
mod signer;

use std::fmt;

pub use self::key::{SignatureType, VerifierKey, VerifierKeyError};
pub use self::name::is_key_name;
pub use self::signature::Signature;
pub use self::signer::{LogSigner, SignerError, WitnessSigner};

/// A note as it was read or made. Nothing here says that a signature is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It has not the form of a note.
    #[error("it is no signed note: {0}")]
    Malformed(&'static str),
    /// A known key's line is not that key's signature of the text.
    #[error("the line of {name} is not its signature")]
    BadSignature {
        /// The key's name.
        name: String,
    },
}

/// A line of a known key that is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The key.
    pub key: VerifierKey,
    /// When it signed, as it says, in seconds since 1970; `None` of a signature without a time.
    pub time: Option<u64>,
}

impl Note {
    /// Bytes of a note.
    pub const MAX_BYTES: usize = 1 << 19;
    /// Lines that sign it. The specification asks for 16 at least.
    pub const MAX_SIGNATURES: usize = 64;

    /// The note of this text and these signatures; refused unless it reads back as these.
    pub fn new(text: String, signatures: Vec<Signature>) -> Result<Self, NoteError> {
        let note = Self { text, signatures };
        if Self::parse(note.to_string().as_bytes())? == note {
            Ok(note)
        } else {
            Err(NoteError::Malformed("the text or a name does not stand alone"))
        }
    }

    /// The note of these bytes. Refused: more of them than [`Note::MAX_BYTES`], other than UTF-8, control characters but
    /// newlines, a text that does not end in a newline and an empty line, no signature or more than [`Note::MAX_SIGNATURES`],
    /// a line that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NoteError::Malformed("it is longer than 512 KiB"));
        }
        let note = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed("it holds control characters"));
        }
        let empty_line = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line ends its text"))?;
        let signatures = Signature::parse_lines(&note[empty_line + 2..])?;
        Ok(Self { text: note[..=empty_line].to_owned(), signatures })
    }

    /// What is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines that sign it, in order, each at least one.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Verifies every line of a known key, and gives those lines' keys and times in the lines' order.
    ///
    /// A line is of a known key if it bears the key's name and id. Other lines are passed over, whatever is in them; a known
    /// key's line that is not its signature refuses the note, however many others are right. None known: an empty list.
    pub fn verify(&self, known: &[VerifierKey]) -> Result<Vec<Verified>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            // Two keys can share a name and the four bytes of an id, if only on purpose.
            let mut keys = known.iter().filter(|key| key.is_named_by(signature));
            let Some(first) = keys.next() else { continue };
            let line = std::iter::once(first).chain(keys).find_map(|key| key.verify(&self.text, signature));
            verified.push(line.ok_or_else(|| NoteError::BadSignature { name: signature.name().to_owned() })?);
        }
        Ok(verified)
    }

    /// The note with the lines that a witness answered with: those of known keys, but for ones that it has already. Refused: an
    /// answer that is no such lines, and one in which a known key's line is wrong.
    pub fn cosigned(&self, answer: &str, known: &[VerifierKey]) -> Result<Self, NoteError> {
        let answered = Self { text: self.text.clone(), signatures: Signature::parse_lines(answer)? };
        answered.verify(known)?;
        let mut signatures = self.signatures.clone();
        for line in answered.signatures {
            if known.iter().any(|key| key.is_named_by(&line)) && !signatures.contains(&line) {
                signatures.push(line);
            }
        }
        Self::new(answered.text, signatures)
    }
}

/// The note's bytes.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}
