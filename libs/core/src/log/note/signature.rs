//! Signature lines of notes.

use std::fmt;

use crate::log::line;
use crate::log::note::{Note, NoteError};

const DASH: &str = "— ";

/// A signature line, `— <name> base64(key id || signature)`. The signature is not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// Returns whether `name` is allowed as a key name: not empty, and without Unicode white space, `+` and control
/// characters below U+0020.
pub fn is_key_name(name: &str) -> bool {
    let refused = |character: char| character < ' ' || character == '+' || character.is_whitespace();
    !name.is_empty() && !name.contains(refused)
}

impl Signature {
    /// Creates the line of the key with this name and id.
    pub(in crate::log) fn new(name: String, key_id: [u8; 4], bytes: Vec<u8>) -> Self {
        Self { name, key_id, bytes }
    }

    /// Parses the signature lines of a note or of a witness's response.
    ///
    /// Fails if there is no line, if there are more than [`Note::MAX_SIGNATURES`], if the last line has no newline, or
    /// if a line is malformed.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let (mut signatures, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (line, after) = line::split(rest).ok_or(NoteError::Malformed("no newline at the end"))?;
            if signatures.len() == Note::MAX_SIGNATURES {
                return Err(NoteError::Malformed("more than 64 signature lines"));
            }
            signatures.push(parse(line).ok_or(NoteError::Malformed("malformed signature line"))?);
            rest = after;
        }
        if signatures.is_empty() { Err(NoteError::Malformed("no signature line")) } else { Ok(signatures) }
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

fn parse(line: &str) -> Option<Signature> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let signature = line::unbase64(signature)?;
    let (key_id, bytes) = signature.split_first_chunk()?;
    let is_complete = is_key_name(name) && !bytes.is_empty();
    is_complete.then(|| Signature::new(name.to_owned(), *key_id, bytes.to_vec()))
}

/// Writes the line, including its newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.key_id, self.bytes.as_slice()].concat();
        writeln!(f, "{DASH}{} {}", self.name, line::base64(&signature))
    }
}
