//! Texts as trees.

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::Refusal;
use super::output::Output;

/// Makes a tree of a text. A tree can need more than a hundred times as much memory as its text.
pub(super) struct Tree;

/// The members of an object, and a name that it has twice.
#[derive(Default)]
pub(super) struct Object {
    members: Map<String, Value>,
    name_at: usize,
    duplicate: Option<(String, usize)>,
}

impl Output for Tree {
    type Value = Value;
    type Array = Vec<Value>;
    type Object = Object;

    fn literal(&mut self, literal: Option<bool>) -> Result<Value, Refusal> {
        Ok(literal.map_or(Value::Null, Value::Bool))
    }

    fn number(&mut self, number: Number) -> Result<Value, Refusal> {
        Ok(Value::Number(number))
    }

    fn string(&mut self, string: Cow<'_, str>) -> Result<Value, Refusal> {
        Ok(Value::String(string.into_owned()))
    }

    fn begin_array(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn begin_element(&mut self, _: &mut Vec<Value>) -> Result<(), Refusal> {
        Ok(())
    }

    fn end_element(&mut self, array: &mut Vec<Value>, value: Value) {
        array.push(value);
    }

    fn end_array(&mut self, array: Vec<Value>) -> Result<Value, Refusal> {
        Ok(Value::Array(array))
    }

    fn begin_object(&mut self) -> Object {
        Object::default()
    }

    fn begin_member(&mut self, object: &mut Object, _: &str, at: usize) -> Result<(), Refusal> {
        object.name_at = at;
        Ok(())
    }

    fn end_member(&mut self, object: &mut Object, name: Cow<'_, str>, value: Value) {
        match object.members.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(value);
            }
            Entry::Occupied(occupied) => object.duplicate = Some((occupied.key().clone(), object.name_at)),
        }
    }

    fn end_object(&mut self, object: Object) -> Result<Value, (String, usize)> {
        object.duplicate.map_or(Ok(Value::Object(object.members)), Err)
    }
}
