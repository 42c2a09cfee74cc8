//! Texts in canonical form, made in one pass without a tree.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::escape::{string_length, unescaped, utf16_order, write_string};
use super::number::write_number;
use super::output::Output;
use super::{Node, Refusal, write};

/// A JSON value as its canonical text (RFC 8785).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(String);

impl Text {
    /// The canonical text of null.
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// The canonical text of an object without members.
    pub fn empty_object() -> Self {
        Self("{}".to_owned())
    }

    /// Returns the canonical text of a string.
    pub fn string(string: &str) -> Self {
        let mut text = String::with_capacity(string.len() + 2);
        write_string(&mut text, string);
        Self(text)
    }

    /// Returns the canonical text of an object with these members, whose names are distinct and whose values are canonical
    /// texts.
    pub fn object<'a>(members: impl IntoIterator<Item = (Cow<'a, str>, &'a str)>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable_by(|(one, _), (other, _)| utf16_order(one, other));
        let mut text = String::from("{");
        for (index, (name, value)) in members.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write_string(&mut text, name);
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Returns the value that this is the text of.
    pub fn node(&self) -> Node<'_> {
        Node::new(&self.0)
    }
}

impl From<&Value> for Text {
    /// Returns the canonical text of a tree, as [`write()`] does.
    fn from(value: &Value) -> Self {
        Self(write(value))
    }
}

impl From<Node<'_>> for Text {
    /// Copies the text of a value.
    fn from(node: Node<'_>) -> Self {
        Self(node.text().to_owned())
    }
}

/// Writes the canonical text of a text that is being read.
pub(super) struct Writer {
    text: String,
    /// Number of members and elements that were read.
    members: usize,
    max_bytes: usize,
    max_members: usize,
    /// The refusal of a text that exceeds a maximum.
    excess: Refusal,
}

/// A member of an object that is being read: where it begins and ends in the canonical text, and the offset of its name in the
/// text that is read. The type is small because an object can have millions of members; no text has 4 GiB.
pub(super) struct Member {
    start: u32,
    end: u32,
    name_at: u32,
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a text has less than 4 GiB")
}

impl Writer {
    /// Creates a writer of a text of up to `max_bytes` in canonical form.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { text: String::new(), members: 0, max_bytes, max_members: usize::MAX, excess: Refusal::Size }
    }

    /// Creates a writer of one value of a text with several.
    pub(super) fn of_value(max_bytes: usize, max_members: usize) -> Self {
        Self { max_members, excess: Refusal::Value, ..Self::new(max_bytes) }
    }

    /// Returns the text, or the refusal of a text that its last byte has made too long.
    pub(super) fn finish(self) -> Result<Text, Refusal> {
        self.check().map(|()| Text(self.text))
    }

    fn check(&self) -> Result<(), Refusal> {
        let fits = self.text.len() <= self.max_bytes && self.members <= self.max_members;
        if fits { Ok(()) } else { Err(self.excess) }
    }

    /// Begins an element or a member.
    fn begin_part(&mut self, is_first: bool) {
        self.members += 1;
        if !is_first {
            self.text.push(',');
        }
    }

    /// Returns the name of a member.
    fn name(&self, member: &Member) -> Cow<'_, str> {
        let text = &self.text[member.start as usize..];
        unescaped(&text[..string_length(text.as_bytes())])
    }

    /// Brings the members of the object at the end of the text in order.
    fn sort(&mut self, mut members: Vec<Member>) -> Result<(), (String, usize)> {
        let Some(start) = members.first().map(|first| first.start as usize) else { return Ok(()) };
        let order = |one: &Member, other: &Member| utf16_order(&self.name(one), &self.name(other));
        if members.is_sorted_by(|one, other| order(one, other).is_lt()) {
            return Ok(());
        }
        members.sort_unstable_by(order);
        if let Some([one, other]) = members.array_windows().find(|[one, other]| order(one, other).is_eq()) {
            return Err((self.name(one).into_owned(), one.name_at.max(other.name_at) as usize));
        }
        let unsorted = self.text.split_off(start);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.text.push_str(&unsorted[member.start as usize - start..member.end as usize - start]);
        }
        Ok(())
    }
}

impl Output for Writer {
    type Value = ();
    /// Whether the array is empty so far.
    type Array = bool;
    type Object = Vec<Member>;

    fn literal(&mut self, literal: Option<bool>) -> Result<(), Refusal> {
        self.text.push_str(match literal {
            None => "null",
            Some(true) => "true",
            Some(false) => "false",
        });
        self.check()
    }

    fn number(&mut self, number: Number) -> Result<(), Refusal> {
        write_number(&mut self.text, &number);
        self.check()
    }

    fn string(&mut self, string: Cow<'_, str>) -> Result<(), Refusal> {
        write_string(&mut self.text, &string);
        self.check()
    }

    fn begin_array(&mut self) -> bool {
        self.text.push('[');
        true
    }

    fn begin_element(&mut self, is_first: &mut bool) -> Result<(), Refusal> {
        self.begin_part(std::mem::take(is_first));
        self.check()
    }

    fn end_element(&mut self, _: &mut bool, (): ()) {}

    fn end_array(&mut self, _: bool) -> Result<(), Refusal> {
        self.text.push(']');
        self.check()
    }

    fn begin_object(&mut self) -> Vec<Member> {
        self.text.push('{');
        Vec::new()
    }

    fn begin_member(&mut self, object: &mut Vec<Member>, name: &str, at: usize) -> Result<(), Refusal> {
        self.begin_part(object.is_empty());
        object.push(Member { start: place(self.text.len()), end: 0, name_at: place(at) });
        write_string(&mut self.text, name);
        self.text.push(':');
        self.check()
    }

    fn end_member(&mut self, object: &mut Vec<Member>, _: Cow<'_, str>, (): ()) {
        let end = place(self.text.len());
        object.last_mut().expect("begin_member() has added the member").end = end;
    }

    fn end_object(&mut self, object: Vec<Member>) -> Result<(), (String, usize)> {
        self.sort(object)?;
        self.text.push('}');
        Ok(())
    }
}
