//! One line that signs a note.

use std::fmt;

use crate::log::line;
use crate::log::note::{Note, NoteError, is_key_name};

const DASH: &str = "— ";

/// A line of a note: `— <name> base64(key id ‖ signature)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// The line by which the key of this name and id signs with these bytes.
    pub(super) fn new(name: String, key_id: [u8; 4], bytes: Vec<u8>) -> Self {
        Self { name, key_id, bytes }
    }

    /// The lines of this text: those of a note, or of a witness's answer. Refused: none, more than [`Note::MAX_SIGNATURES`], a
    /// last one without a newline, one that is no such line.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let (mut signatures, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (line, after) = line::split(rest).ok_or(NoteError::Malformed("no newline ends it"))?;
            if signatures.len() == Note::MAX_SIGNATURES {
                return Err(NoteError::Malformed("it has more than 64 signatures"));
            }
            signatures.push(parse(line).ok_or(NoteError::Malformed("a line is no signature"))?);
            rest = after;
        }
        if signatures.is_empty() { Err(NoteError::Malformed("nobody has signed it")) } else { Ok(signatures) }
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id, which with its name says which key it is.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// What the key made: at least a byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn parse(line: &str) -> Option<Signature> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let signature = line::unbase64(signature)?;
    let (key_id, bytes) = signature.split_first_chunk()?;
    let whole = is_key_name(name) && !bytes.is_empty();
    whole.then(|| Signature::new(name.to_owned(), *key_id, bytes.to_vec()))
}

/// The line, with its newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.key_id, self.bytes.as_slice()].concat();
        writeln!(f, "{DASH}{} {}", self.name, line::base64(&signature))
    }
}
