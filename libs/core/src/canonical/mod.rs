//! Strict JSON, and the canonical text that is hashed and stored (docs/spec/integrity.md#canonical-payload).
//!
//! [`read`] is a strict reader: it refuses texts that two JSON readers could read differently, such as duplicate names, lone
//! surrogates and integers beyond 2^53. [`write()`] writes a value in the canonical form of RFC 8785. These bytes are hashed,
//! sealed and stored. [`stored_matches`] checks whether a stored text is still the sealed one, even if a database has changed
//! its spelling.

mod escape;
mod node;
mod number;
mod output;
mod reader;
mod refused;
mod stored;
mod text;
mod tree;
mod values;
mod writer;

pub use self::node::{Elements, Members, Node};
use self::reader::Reader;
pub use self::reader::read;
pub(crate) use self::reader::read_any_number;
pub(crate) use self::refused::pointer_token;
pub use self::refused::{Refusal, Refused};
pub(crate) use self::stored::canonical_text as stored;
pub use self::stored::stored_matches;
pub use self::text::Text;
use self::text::Writer;
pub use self::values::{ValueLimits, Values};
pub use self::writer::write;

/// Maximum number of bytes of a payload, as sent and in canonical form.
pub const MAX_PAYLOAD: usize = 262_144;
/// Maximum number of bytes of metadata, as sent and in canonical form.
pub const MAX_METADATA: usize = 16_384;
/// Maximum depth of nested arrays and objects. The outermost one has depth 1.
pub const MAX_DEPTH: usize = 64;

/// The limits of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum number of bytes of the text, and of its canonical form.
    pub bytes: usize,
    /// Maximum depth of nested arrays and objects. The reader takes a value above 128 as 128.
    pub depth: usize,
}

impl Limits {
    /// The limits of a payload.
    pub const PAYLOAD: Self = Self { bytes: MAX_PAYLOAD, depth: MAX_DEPTH };
    /// The limits of metadata.
    pub const METADATA: Self = Self { bytes: MAX_METADATA, depth: MAX_DEPTH };
}

/// Returns the canonical form of `text`. Refuses what [`read`] refuses, and a canonical form that exceeds the size limit
/// (`json_size`). It makes no tree.
pub fn canonicalise(text: &[u8], limits: Limits) -> Result<String, Refused> {
    canonical_text(reader::checked(text, limits.bytes)?, limits).map(Text::into_string)
}

/// Returns the canonical form of a part of a larger text. The size limit applies to the canonical form alone.
pub(crate) fn part(text: &[u8], limits: Limits) -> Result<Text, Refused> {
    canonical_text(reader::checked(text, usize::MAX)?, limits)
}

fn canonical_text(text: &str, limits: Limits) -> Result<Text, Refused> {
    let whole = Reader::new(text, limits.depth, number::strict, Writer::new(limits.bytes)).whole();
    let text = whole.and_then(|((), writer)| writer.finish().map_err(|refusal| Refused::at(limits.bytes, refusal)));
    text.map_err(|refused| match refused.refusal {
        Refusal::Size => Refused::at(limits.bytes, Refusal::Size),
        _ => refused,
    })
}
