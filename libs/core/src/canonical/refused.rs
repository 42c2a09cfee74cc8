//! Why a text is refused, and where.

use std::fmt;

use crate::error::{self, ErrorKind};

/// The nine reasons for which JSON is refused. Their codes are part of the API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The text, or its canonical form, is over the cap.
    Size,
    /// Not UTF-8.
    Utf8,
    /// Not RFC 8259.
    Syntax,
    /// An array or object inside too many others.
    Depth,
    /// Two equal names in one object.
    DuplicateKey,
    /// An escape of half a surrogate pair.
    LoneSurrogate,
    /// `\u0000`, which Postgres cannot hold.
    Nul,
    /// An integer that not every reader keeps.
    IntegerRange,
    /// A number beyond the largest double.
    NumberRange,
}

impl Refusal {
    /// The stable code: `json_size` …
    pub fn code(self) -> &'static str {
        ErrorKind::from(self).code()
    }

    /// The rule that was broken, for a person to read.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Size => "the text and its canonical form stay under the cap",
            Self::Utf8 => "the text is UTF-8",
            Self::Syntax => "the text is one JSON value and nothing else (RFC 8259)",
            Self::Depth => "arrays and objects nest at most 64 deep",
            Self::DuplicateKey => "a name stands once in an object",
            Self::LoneSurrogate => "a \\ud800 to \\udfff escape is half of a pair",
            Self::Nul => "no string or name holds U+0000",
            Self::IntegerRange => "integers lie within ±(2^53 − 1); larger ones are sent as strings",
            Self::NumberRange => "numbers lie within the range of a double",
        }
    }
}

impl From<Refusal> for ErrorKind {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Size => Self::JsonSize,
            Refusal::Utf8 => Self::JsonUtf8,
            Refusal::Syntax => Self::JsonSyntax,
            Refusal::Depth => Self::JsonDepth,
            Refusal::DuplicateKey => Self::JsonDuplicateKey,
            Refusal::LoneSurrogate => Self::JsonLoneSurrogate,
            Refusal::Nul => Self::JsonNul,
            Refusal::IntegerRange => Self::JsonIntegerRange,
            Refusal::NumberRange => Self::JsonNumberRange,
        }
    }
}

/// A refused text: why, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Refused {
    /// The rule that was broken. A text with several faults has one of them here.
    pub refusal: Refusal,
    /// JSON Pointer (RFC 6901) to the value that breaks it, or that was being read.
    pub pointer: String,
    /// The byte of the text at which it was seen; of a canonical form over the cap, the cap.
    pub offset: usize,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refusal, pointer, offset } = self;
        let at = if pointer.is_empty() { String::new() } else { format!(" ({pointer})") };
        write!(f, "{} at byte {offset}{at}: {}", refusal.code(), refusal.rule())
    }
}

impl Refused {
    /// The refusal of a request in whose body the text stands at `base`.
    pub fn in_request(&self, base: &str) -> error::Refused {
        let kind = ErrorKind::from(self.refusal);
        let pointer = format!("{base}{}", self.pointer);
        error::Refused::field(kind, pointer, kind.code(), format!("{} (byte {})", kind.title(), self.offset))
    }

    /// The same, seen from the array or object around it: the pointer grows at the front.
    pub(super) fn inside(mut self, token: &str) -> Self {
        self.pointer = format!("/{}{}", pointer_token(token), self.pointer);
        self
    }
}

/// A name as it stands in a JSON Pointer (RFC 6901).
pub(crate) fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
