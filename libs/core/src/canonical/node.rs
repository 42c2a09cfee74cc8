//! Values in canonical texts, read where they are.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::escape::{string_length, unescaped};
use super::reader::Reader;
use super::tree::Tree;
use super::{MAX_DEPTH, number};

/// A value in a canonical text. Reading it makes no tree: members and elements are found by scanning the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node<'a>(&'a str);

impl<'a> Node<'a> {
    /// Takes a text that is canonical.
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the canonical text of the value.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Returns whether the value is null.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Returns the value of a boolean.
    pub fn boolean(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// Returns the value of a number.
    pub fn number(self) -> Option<Number> {
        matches!(self.0.as_bytes()[0], b'-' | b'0'..=b'9')
            .then(|| number::strict(self.0).expect("a canonical number reads as itself"))
    }

    /// Returns the value of a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        self.0.starts_with('"').then(|| unescaped(self.0))
    }

    /// Returns the members of an object in canonical order.
    pub fn members(self) -> Option<Members<'a>> {
        self.0.strip_prefix('{').map(Members)
    }

    /// Returns the elements of an array.
    pub fn elements(self) -> Option<Elements<'a>> {
        self.0.strip_prefix('[').map(Elements)
    }

    /// Returns the member of an object that has this name.
    pub fn member(self, name: &str) -> Option<Self> {
        self.members()?.find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// Returns the value at a JSON pointer (RFC 6901).
    pub fn pointer(self, pointer: &str) -> Option<Self> {
        pointer.split('/').skip(1).try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match node.elements() {
                Some(mut elements) if token == "0" || !token.starts_with(['0', '+']) => {
                    elements.nth(token.parse().ok()?)
                }
                Some(_) => None,
                None => node.member(&token),
            }
        })
    }

    /// Returns the number of members and elements of the value, at all depths.
    pub fn parts(self) -> usize {
        let bytes = self.0.as_bytes();
        let (mut parts, mut at) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            at += match byte {
                b'"' => string_length(&bytes[at..]),
                _ => 1,
            };
            // Parts are separated by commas, and the first one follows a bracket that is not closed at once.
            let opens = matches!(byte, b'{' | b'[') && !matches!(bytes[at], b'}' | b']');
            parts += usize::from(opens || *byte == b',');
        }
        parts
    }

    /// Returns the value as a tree.
    pub fn to_value(self) -> Value {
        // Parts of a text may be nested more deeply than the parts of a payload may be.
        let read = Reader::new(self.0, 2 * MAX_DEPTH, number::strict, Tree).whole();
        read.expect("a canonical text reads as itself").0
    }
}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(&'a str);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.0.starts_with('"') {
            return None;
        }
        let (name, rest) = self.0.split_at(string_length(self.0.as_bytes()));
        let (value, rest) = next_value(&rest[1..]);
        self.0 = rest;
        Some((unescaped(name), value))
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a>(&'a str);

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.starts_with(']') || self.0.is_empty() {
            return None;
        }
        let (value, rest) = next_value(self.0);
        self.0 = rest;
        Some(value)
    }
}

/// Splits off the first value of a list, and the comma or the bracket behind it.
fn next_value(text: &str) -> (Node<'_>, &str) {
    let (value, rest) = text.split_at(value_length(text.as_bytes()));
    (Node(value), &rest[1..])
}

/// Returns the length of the value at the beginning of a canonical text. Behind it there is another byte.
fn value_length(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match bytes[at] {
            b'"' => at += string_length(&bytes[at..]),
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' => (depth, at) = (depth - 1, at + 1),
            b',' | b':' => at += 1,
            _ => at += bytes[at..].iter().take_while(|byte| !matches!(byte, b',' | b'}' | b']')).count(),
        }
        if depth == 0 {
            return at;
        }
    }
}
