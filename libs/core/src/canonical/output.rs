//! What can be made of a text that is read.

use std::borrow::Cow;

use serde_json::Number;

use super::Refusal;

/// What a reader makes of a text: a tree, or a canonical text. An error is the refusal of the value that was read last.
pub(super) trait Output {
    /// A value that was read.
    type Value;
    /// The elements of an array that is being read.
    type Array;
    /// The members of an object that is being read.
    type Object;

    /// Takes true, false or null.
    fn literal(&mut self, literal: Option<bool>) -> Result<Self::Value, Refusal>;
    fn number(&mut self, number: Number) -> Result<Self::Value, Refusal>;
    fn string(&mut self, string: Cow<'_, str>) -> Result<Self::Value, Refusal>;
    fn begin_array(&mut self) -> Self::Array;
    /// Announces an element, before its value is read.
    fn begin_element(&mut self, array: &mut Self::Array) -> Result<(), Refusal>;
    fn end_element(&mut self, array: &mut Self::Array, value: Self::Value);
    fn end_array(&mut self, array: Self::Array) -> Result<Self::Value, Refusal>;
    fn begin_object(&mut self) -> Self::Object;
    /// Announces a member, before its value is read. `at` is the offset of its name in the text.
    fn begin_member(&mut self, object: &mut Self::Object, name: &str, at: usize) -> Result<(), Refusal>;
    fn end_member(&mut self, object: &mut Self::Object, name: Cow<'_, str>, value: Self::Value);
    /// Takes the end of an object. The error is a name that it has twice, with the offset of the later one.
    fn end_object(&mut self, object: Self::Object) -> Result<Self::Value, (String, usize)>;
}
