//! The values of a text, one at a time.

use super::reader::{Reader, checked};
use super::text::{Text, Writer};
use super::{Limits, Refused, number};

/// The limits of a text that is one value or an array of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueLimits {
    /// The size limit of the whole text, and the maximum depth of one value.
    pub text: Limits,
    /// Maximum number of bytes of the canonical text of one value.
    pub bytes: usize,
    /// Maximum number of members and elements of one value, at all depths.
    pub members: usize,
}

/// The canonical texts of a value, or of the elements of an array. Each is made when it is asked for, so that a text whose
/// values are used up one by one needs memory for one value.
///
/// An error refuses the whole text: what [`super::read`] refuses, and a value above its limits
/// ([`super::Refusal::Value`]). Nothing follows a refusal.
pub struct Values<'a> {
    reader: Reader<'a, Writer>,
    limits: ValueLimits,
    is_array: bool,
    index: usize,
    ended: bool,
}

impl<'a> Values<'a> {
    /// Begins to read a text.
    ///
    /// # Errors
    /// A text that exceeds its size limit, or is not UTF-8.
    pub fn new(text: &'a [u8], limits: ValueLimits) -> Result<Self, Refused> {
        let text = checked(text, limits.text.bytes)?;
        let mut reader = Reader::new(text, limits.text.depth, number::strict, Writer::new(0));
        reader.skip_space();
        let is_array = reader.take(b'[');
        reader.skip_space();
        let ended = is_array && reader.take(b']');
        Ok(Self { reader, limits, is_array, index: 0, ended })
    }

    /// Returns whether the text is an array.
    pub fn is_array(&self) -> bool {
        self.is_array
    }

    fn value(&mut self) -> Result<Text, Refused> {
        self.reader.output = Writer::of_value(self.limits.bytes, self.limits.members);
        let inside = |refused: Refused| if self.is_array { refused.inside(&self.index.to_string()) } else { refused };
        self.reader.value().map_err(inside)?;
        self.index += 1;
        self.ended = !self.is_array || self.reader.ends(b']')?;
        if self.ended {
            self.reader.end()?;
        }
        let text = std::mem::replace(&mut self.reader.output, Writer::new(0)).finish();
        text.map_err(|refusal| self.reader.refused(refusal))
    }
}

impl Iterator for Values<'_> {
    type Item = Result<Text, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let value = self.value();
        self.ended |= value.is_err();
        Some(value)
    }
}
