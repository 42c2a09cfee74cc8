//! Signed notes (c2sp.org/signed-note): a text, an empty line, and signature lines.
//!
//! ```text
//! bus.example/eu-1
//! 20
//! xp6QHXSCwRuHMg1lie9OEGGrDS17MuzFR5lG+9Rbwwo=
//!
//! — bus.example/eu-1 UzKvcYDpoNTY4oWGNLo1AxtIhUZTeKQhT+0M+O1ivaKIetsAiPP4AXkQbVl+UjOLDPptKNrrBjrEYy9uB+Mu8S0g/gU=
//! ```
//!
//! A text is trusted only after [`Note::verify`] has found a valid signature of a known key.

mod key;

use std::fmt;

pub(in crate::log) use self::key::cosignature_message;
pub use self::key::{SignatureType, VerifierKey, VerifierKeyError, is_key_name};
use crate::log::line;

const DASH: &str = "— ";

/// A well-formed note. Its signatures are not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line, `— <name> base64(key id || signature)`. The signature is not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// Reasons why a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The bytes are not a well-formed note.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// The signature line of the known key with this name is not that key's signature of the text.
    #[error("invalid signature of {0}")]
    BadSignature(String),
}

/// A verified signature line of a known key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedSignature {
    /// The key that signed.
    pub key: VerifierKey,
    /// The time of signing that the signature states, in seconds since 1970. `None` for a signature of type 0x01.
    pub time: Option<u64>,
}

impl Note {
    /// The maximum length of a note in bytes.
    pub const MAX_BYTES: usize = 1 << 19;
    /// The maximum number of signature lines. The specification requires support for at least 16.
    pub const MAX_SIGNATURES: usize = 64;

    /// Creates a note from its text and signatures. Fails if the resulting bytes do not parse to the same text and
    /// signatures.
    pub fn new(text: String, signatures: Vec<Signature>) -> Result<Self, NoteError> {
        let note = Self { text, signatures };
        let is_same = Self::parse(note.to_string().as_bytes())? == note;
        is_same.then_some(note).ok_or(NoteError::Malformed("the text or a key name is not allowed in a note"))
    }

    /// Parses a note.
    ///
    /// Fails if it is longer than [`Note::MAX_BYTES`], is not UTF-8, contains control characters other than newline,
    /// has no empty line after the text, has no signature line or more than [`Note::MAX_SIGNATURES`], or has a
    /// malformed signature line.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NoteError::Malformed("longer than 512 KiB"));
        }
        let note = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed("contains control characters"));
        }
        let empty_line = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line after the text"))?;
        let signatures = Signature::parse_lines(&note[empty_line + 2..])?;
        Ok(Self { text: note[..=empty_line].to_owned(), signatures })
    }

    /// Returns the signed text, including its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signature lines in their order. There is at least one.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Verifies the signature lines of known keys, and returns them in the order of the note.
    ///
    /// A line belongs to a known key if it has the name and the id of the key. Lines of unknown keys are ignored, even
    /// malformed signatures. Fails if any line of a known key is invalid, regardless of other valid lines. Returns an
    /// empty list if no line belongs to a known key.
    pub fn verify(&self, known: &[VerifierKey]) -> Result<Vec<VerifiedSignature>, NoteError> {
        let is_known = |line: &&Signature| known.iter().any(|key| key.is_named_by(line));
        let verified = |line: &Signature| {
            // Key ids have four bytes, so someone can construct two keys with the same name and id. Either may have
            // signed.
            let signature = known.iter().find_map(|key| key.verify(&self.text, line));
            signature.ok_or_else(|| NoteError::BadSignature(line.name.clone()))
        };
        self.signatures.iter().filter(is_known).map(verified).collect()
    }

    /// Returns the note with the signature lines of a witness's response added.
    ///
    /// Adds the lines of known keys that the note does not have yet. Fails if the response does not consist of
    /// signature lines, or if a line of a known key is invalid.
    pub fn with_cosignatures(&self, answer: &str, known: &[VerifierKey]) -> Result<Self, NoteError> {
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

impl Signature {
    /// Creates the line of a key. `bytes` are the signature, after the time in a signature of type 0x04.
    pub(in crate::log) fn new(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), key_id: key.id(), bytes }
    }

    /// Parses the signature lines of a note or of a witness's response.
    ///
    /// Fails if there is no line, if there are more than [`Note::MAX_SIGNATURES`], if the last line has no newline, or
    /// if a line is malformed.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let (mut signatures, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').ok_or(NoteError::Malformed("no newline at the end"))?;
            if signatures.len() == Note::MAX_SIGNATURES {
                return Err(NoteError::Malformed("more than 64 signature lines"));
            }
            signatures.push(Self::parse(line).ok_or(NoteError::Malformed("malformed signature line"))?);
            rest = after;
        }
        if signatures.is_empty() { Err(NoteError::Malformed("no signature line")) } else { Ok(signatures) }
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let signature = line::unbase64(signature)?;
        let (key_id, bytes) = signature.split_first_chunk()?;
        let is_complete = is_key_name(name) && !bytes.is_empty();
        is_complete.then(|| Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key id, which identifies the key together with the name.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// Returns the bytes after the key id. There is at least one.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes the bytes of the note.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

/// Writes the line, including its newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.key_id, self.bytes.as_slice()].concat();
        writeln!(f, "{DASH}{} {}", self.name, line::base64(&signature))
    }
}
