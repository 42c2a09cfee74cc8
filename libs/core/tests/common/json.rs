//! A generator of JSON values.

use proptest::prelude::*;
use serde_json::{Number, Value};

/// Generates values with these numbers, and with these texts as strings and names.
pub(crate) fn value(
    number: impl Strategy<Value = Number> + 'static,
    text: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(Value::Number),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 50, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..8).prop_map(|members| members.into_iter().collect()),
        ]
    })
}
