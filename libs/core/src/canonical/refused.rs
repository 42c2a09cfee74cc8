//! Refusals of JSON texts.

use std::fmt;

use crate::error::{self, ErrorKind};

/// The reasons for which the strict reader refuses a text (docs/spec/integrity.md#canonical-refusals). Their codes are part of
/// the API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The text or its canonical form exceeds the size limit.
    Size,
    /// The text is not UTF-8.
    Utf8,
    /// The text is not JSON by RFC 8259.
    Syntax,
    /// An array or object is nested too deeply.
    Depth,
    /// A name appears twice in one object.
    DuplicateKey,
    /// A surrogate escape is not half of a pair.
    LoneSurrogate,
    /// A string or name contains `\u0000`, which Postgres cannot store.
    Nul,
    /// An integer is beyond ±(2^53 − 1), so some readers would change it.
    IntegerRange,
    /// A number is larger than the largest double.
    NumberRange,
    /// One of the values of a text exceeds the limits of one value.
    Value,
}

impl Refusal {
    /// Returns the stable code, such as `json_size`.
    pub fn code(self) -> &'static str {
        self.kind_and_rule().0.code()
    }

    /// Returns the kind of error, and the broken rule in words.
    fn kind_and_rule(self) -> (ErrorKind, &'static str) {
        use ErrorKind::{
            JsonDepth, JsonDuplicateKey, JsonIntegerRange, JsonLoneSurrogate, JsonNul, JsonNumberRange, JsonSize,
            JsonSyntax, JsonUtf8, TooLarge,
        };
        match self {
            Self::Size => (JsonSize, "the text and its canonical form must not exceed the size limit"),
            Self::Utf8 => (JsonUtf8, "the text must be UTF-8"),
            Self::Syntax => (JsonSyntax, "the text must be exactly one JSON value (RFC 8259)"),
            Self::Depth => (JsonDepth, "arrays and objects must be nested at most 64 levels deep"),
            Self::DuplicateKey => (JsonDuplicateKey, "a name must appear only once in an object"),
            Self::LoneSurrogate => (JsonLoneSurrogate, "an escape from \\ud800 to \\udfff must be half of a pair"),
            Self::Nul => (JsonNul, "strings and names must not contain U+0000"),
            Self::IntegerRange => {
                (JsonIntegerRange, "integers must be within ±(2^53 − 1); send larger ones as strings")
            }
            Self::NumberRange => (JsonNumberRange, "numbers must be within the range of a double"),
            Self::Value => (TooLarge, "a value must not exceed the limits of one value"),
        }
    }
}

/// The refusal of a text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Refused {
    /// The broken rule. Of several faults in a text, one is reported.
    pub refusal: Refusal,
    /// JSON pointer (RFC 6901) to the value at fault, or to the value that was being read.
    pub pointer: String,
    /// Offset of the fault in the text, in bytes; the size limit itself if the text or its canonical form exceeds it.
    pub offset: usize,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refusal, pointer, offset } = self;
        let at = if pointer.is_empty() { String::new() } else { format!(" ({pointer})") };
        let (kind, rule) = refusal.kind_and_rule();
        write!(f, "{kind} at byte {offset}{at}: {rule}")
    }
}

impl Refused {
    /// Returns the refusal of the value that is being read, at `offset`.
    pub(super) fn at(offset: usize, refusal: Refusal) -> Self {
        Self { refusal, pointer: String::new(), offset }
    }

    /// Returns the refusal of a request whose body contains the text at the pointer `base`.
    pub fn in_request(&self, base: &str) -> error::Refused {
        let (kind, _) = self.refusal.kind_and_rule();
        let pointer = format!("{base}{}", self.pointer);
        error::Refused::field(kind, pointer, kind.code(), format!("{} (byte {})", kind.title(), self.offset))
    }

    /// Returns the same refusal as seen from the enclosing array or object, with `token` in front of the pointer.
    pub(super) fn inside(mut self, token: &str) -> Self {
        self.pointer = format!("/{}{}", pointer_token(token), self.pointer);
        self
    }
}

/// Escapes a name for a JSON pointer (RFC 6901).
pub(crate) fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
