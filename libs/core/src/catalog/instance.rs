//! Canonical texts as instances of JSON Schemas.
//!
//! The validator reads the text where it is. A tree of it, which the validator takes otherwise, can need more than a hundred times
//! as much memory.

use std::borrow::Cow;
use std::collections::HashSet;

use jsonschema::json::{self, Array, Json, NodeIdentity, Object};
use jsonschema::types::JsonType;
use serde_json::{Number, Value};

use crate::canonical::{Elements, Members, Node, Text};

/// JSON as canonical text.
pub(super) struct CanonicalJson;

impl Json for CanonicalJson {
    type Node<'a> = Node<'a>;
    type PreparedKey = String;
    type StringBuffer = String;

    /// Each lookup scans the object, so one pass over all members is never slower. The validator multiplies this number by that
    /// of the required members.
    const KEYS_PER_LOOKUP: usize = u32::MAX as usize;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut String, string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        *buffer = Text::string(string).into_string();
        f(Node::new(buffer))
    }
}

impl<'a> json::Node<'a, CanonicalJson> for Node<'a> {
    type Object = Members<'a>;
    type Array = Elements<'a>;
    type Number = Number;

    fn as_object(&self) -> Option<Members<'a>> {
        self.members()
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        self.elements()
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.string()
    }

    fn as_number(&self) -> Option<Number> {
        self.number()
    }

    fn as_boolean(&self) -> Option<bool> {
        self.boolean()
    }

    fn is_null(&self) -> bool {
        Node::is_null(*self)
    }

    fn json_type(&self) -> JsonType {
        match self.text().as_bytes()[0] {
            b'{' => JsonType::Object,
            b'[' => JsonType::Array,
            b'"' => JsonType::String,
            b't' | b'f' => JsonType::Boolean,
            b'n' => JsonType::Null,
            _ => JsonType::Number,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        Text::from(expected).as_str() == self.text()
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Node::to_value(*self))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        // Each container begins at a byte of its own.
        Some(NodeIdentity::new(self.text().as_ptr() as usize))
    }
}

impl<'a> Object<'a, CanonicalJson> for Members<'a> {
    type Node = Node<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = Self;

    fn len(&self) -> usize {
        self.clone().count()
    }

    fn get(&self, key: &String) -> Option<Node<'a>> {
        self.clone().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn members(&self) -> Self {
        self.clone()
    }
}

impl<'a> Array<'a, CanonicalJson> for Elements<'a> {
    type Node = Node<'a>;
    type ElementsIter = Self;

    fn len(&self) -> usize {
        self.clone().count()
    }

    fn elements(&self) -> Self {
        self.clone()
    }

    fn is_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.clone().all(|element| seen.insert(element.text()))
    }
}
