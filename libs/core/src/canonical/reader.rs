//! The strict JSON reader: RFC 8259 without the texts that two readers could read differently.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::escape::plain_run;
use super::output::Output;
use super::tree::Tree;
use super::{Limits, Refusal, Refused, number};

/// The largest effective limit of depth, because the reader is recursive.
const MAX_RECURSION: usize = 128;

/// Reads a JSON text.
///
/// Refuses, each with its own code: a text that exceeds the size limit, is not UTF-8, is not RFC 8259, or is nested too deeply;
/// a name that appears twice in one object; a lone surrogate; `\u0000`; an integer beyond ±(2^53−1); a number beyond the range
/// of a double. The size of the canonical form is not checked here, but by [`super::canonicalise`].
///
/// A value that was read reads the same again from its canonical text: `read(write(v)) == v`.
pub fn read(text: &[u8], limits: Limits) -> Result<Value, Refused> {
    read_with(text, limits, number::strict)
}

/// Reads a JSON text as [`read`] does, but refuses no number, for callers that check numbers themselves. A number of digits
/// only with up to 19 characters becomes an integer, every other number a double.
pub(crate) fn read_any_number(text: &[u8], limits: Limits) -> Result<Value, Refused> {
    read_with(text, limits, number::whole)
}

fn read_with(text: &[u8], limits: Limits, read_number: ReadNumber) -> Result<Value, Refused> {
    let text = checked(text, limits.bytes)?;
    Reader::new(text, limits.depth, read_number, Tree).whole().map(|(value, _)| value)
}

/// Checks the size and the encoding of a text.
pub(super) fn checked(text: &[u8], max_bytes: usize) -> Result<&str, Refused> {
    if text.len() > max_bytes {
        return Err(Refused::at(max_bytes, Refusal::Size));
    }
    str::from_utf8(text).map_err(|error| Refused::at(error.valid_up_to(), Refusal::Utf8))
}

/// A function that reads the spelling of a number.
pub(super) type ReadNumber = fn(&str) -> Result<Number, Refusal>;

/// A text that is being read.
pub(super) struct Reader<'a, O> {
    text: &'a str,
    at: usize,
    /// Number of further levels of arrays and objects that may be opened.
    depth_left: usize,
    read_number: ReadNumber,
    pub(super) output: O,
}

impl<'a, O: Output> Reader<'a, O> {
    pub(super) fn new(text: &'a str, depth: usize, read_number: ReadNumber, output: O) -> Self {
        Reader { text, at: 0, depth_left: depth.min(MAX_RECURSION), read_number, output }
    }

    /// Reads the whole text as one value.
    pub(super) fn whole(mut self) -> Result<(O::Value, O), Refused> {
        let value = self.value()?;
        self.end()?;
        Ok((value, self.output))
    }

    /// Refuses anything but space.
    pub(super) fn end(&mut self) -> Result<(), Refused> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.syntax()) }
    }

    pub(super) fn value(&mut self) -> Result<O::Value, Refused> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                let string = self.string()?;
                let taken = self.output.string(string);
                self.taken(taken)
            }
            Some(b'{') => self.nested(Reader::object),
            Some(b'[') => self.nested(Reader::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Some(true)),
            Some(b'f') => self.literal("false", Some(false)),
            Some(b'n') => self.literal("null", None),
            _ => Err(self.syntax()),
        }
    }

    /// Returns what the output made of a value, or its refusal at the current place.
    fn taken<T>(&self, taken: Result<T, Refusal>) -> Result<T, Refused> {
        taken.map_err(|refusal| self.refused(refusal))
    }

    /// Reads an array or object whose first byte is next. Refuses it if it is nested too deeply.
    fn nested(&mut self, read: fn(&mut Self) -> Result<O::Value, Refused>) -> Result<O::Value, Refused> {
        let Some(left) = self.depth_left.checked_sub(1) else { return Err(self.refused(Refusal::Depth)) };
        self.depth_left = left;
        self.at += 1;
        self.skip_space();
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<O::Value, Refused> {
        let mut array = self.output.begin_array();
        let mut ended = self.take(b']');
        let mut index = 0;
        while !ended {
            let begun = self.output.begin_element(&mut array);
            self.taken(begun)?;
            let value = self.value().map_err(|refused| refused.inside(&index.to_string()))?;
            self.output.end_element(&mut array, value);
            index += 1;
            ended = self.ends(b']')?;
        }
        let taken = self.output.end_array(array);
        self.taken(taken)
    }

    fn object(&mut self) -> Result<O::Value, Refused> {
        let mut object = self.output.begin_object();
        let mut ended = self.take(b'}');
        while !ended {
            self.skip_space();
            let name_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.syntax());
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.syntax());
            }
            let begun = self.output.begin_member(&mut object, &name, name_at);
            let value = self.taken(begun).and_then(|()| self.value()).map_err(|refused| refused.inside(&name))?;
            self.output.end_member(&mut object, name, value);
            ended = self.ends(b'}')?;
        }
        let duplicate = |(name, at): (String, usize)| Refused::at(at, Refusal::DuplicateKey).inside(&name);
        self.output.end_object(object).map_err(duplicate)
    }

    /// Reads what follows a part: returns true if the array or object ends, and false after a comma.
    pub(super) fn ends(&mut self, close: u8) -> Result<bool, Refused> {
        self.skip_space();
        if self.take(b',') {
            return Ok(false);
        }
        if self.take(close) { Ok(true) } else { Err(self.syntax()) }
    }

    fn number(&mut self) -> Result<O::Value, Refused> {
        let rest = &self.text[self.at..];
        let length = number::scan(rest.as_bytes()).map_err(|offset| Refused::at(self.at + offset, Refusal::Syntax))?;
        let number = (self.read_number)(&rest[..length]).map_err(|refusal| self.refused(refusal))?;
        self.at += length;
        let taken = self.output.number(number);
        self.taken(taken)
    }

    fn literal(&mut self, literal: &str, value: Option<bool>) -> Result<O::Value, Refused> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(self.syntax());
        }
        self.at += literal.len();
        let taken = self.output.literal(value);
        self.taken(taken)
    }

    /// Reads a string whose opening quote is next. A string without escapes, the usual case, is not copied.
    fn string(&mut self) -> Result<Cow<'a, str>, Refused> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let start = self.at;
            self.at += plain_run(&self.text.as_bytes()[start..]);
            let plain = &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if string.is_empty() {
                        return Ok(Cow::Borrowed(plain));
                    }
                    string.push_str(plain);
                    return Ok(Cow::Owned(string));
                }
                Some(b'\\') => {
                    string.push_str(plain);
                    string.push(self.escape()?);
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    /// Reads an escape whose backslash is next.
    fn escape(&mut self) -> Result<char, Refused> {
        let simple = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.syntax()),
        };
        self.at += 2;
        Ok(simple)
    }

    /// Reads `\u` and four hex digits, or the two escapes of a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Refused> {
        let Some(first) = self.code_unit(self.at) else { return Err(self.syntax()) };
        // decode_utf16 uses the second unit only if the first one is the high half of a pair.
        let units = [first].into_iter().chain(self.code_unit(self.at + 6));
        let read = char::decode_utf16(units).next();
        match read {
            Some(Ok('\0')) => Err(self.refused(Refusal::Nul)),
            Some(Ok(character)) => {
                self.at += 6 * character.len_utf16();
                Ok(character)
            }
            Some(Err(_)) | None => Err(self.refused(Refusal::LoneSurrogate)),
        }
    }

    /// Returns the UTF-16 unit of the escape `\u` and four hex digits at `at`, if there is one.
    fn code_unit(&self, at: usize) -> Option<u16> {
        let [b'\\', b'u', digits @ ..] = self.text.as_bytes().get(at..at + 6)? else { return None };
        digits.iter().try_fold(0, |unit, digit| {
            let digit = u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
            Some(unit << 4 | digit)
        })
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn syntax(&self) -> Refused {
        self.refused(Refusal::Syntax)
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Refused {
        Refused::at(self.at, refusal)
    }
}
