//! JSON Schemas of event data. Their errors name the field and the rule and never repeat a value.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::instance::CanonicalJson;
use crate::canonical::{Node, pointer_token};
use crate::error::FieldError;

/// Maximum number of faults that are reported for an event.
const MAX_ERRORS: usize = 20;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    /// `None` accepts any data.
    validator: Option<Validator<CanonicalJson>>,
    /// The schema as it is in the file.
    pub(super) source: Value,
}

impl Schema {
    /// Compiles the text `any`, or a schema of draft 2020-12 (or of the draft that it names).
    ///
    /// A `$ref` to another document is refused, not fetched. Patterns run in linear time, so that no data can make them slow. An
    /// unknown `format` is refused, not ignored.
    pub(super) fn compile(source: Value) -> Result<Self, String> {
        if source == "any" {
            return Ok(Self { validator: None, source });
        }
        if !source.is_object() {
            return Err("must be the text any, or a JSON Schema as a mapping".into());
        }
        let validator = jsonschema::options_for::<CanonicalJson>()
            .offline()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .with_pattern_options(PatternOptions::regex())
            .build(&source)
            .map_err(|error| format!("is not a valid JSON Schema: {error}"))?;
        Ok(Self { validator: Some(validator), source })
    }

    /// Returns the faults of `data`, at most the first 20, with pointers that begin at `/data`.
    pub(super) fn validate(&self, data: Node<'_>) -> Vec<FieldError> {
        let Some(validator) = &self.validator else { return Vec::new() };
        if validator.is_valid(data) {
            return Vec::new();
        }
        validator.iter_errors(data).flat_map(|error| faults(&error)).take(MAX_ERRORS).collect()
    }
}

/// Returns the faults that an error of the validator describes. For a missing or unexpected member, the pointer leads to the
/// member, not to the object.
fn faults(error: &ValidationError<'_>) -> Vec<FieldError> {
    let at = format!("/data{}", error.instance_path().as_str());
    let rule = error.kind().keyword().to_owned();
    let fault = |pointer: String, detail: &str| FieldError { pointer, rule: rule.clone(), detail: detail.to_owned() };
    let member = |name: &str, detail| fault(format!("{at}/{}", pointer_token(name)), detail);
    match error.kind() {
        ValidationErrorKind::Required { property: Value::String(name) } => vec![member(name, "is required")],
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| member(name, "is not allowed here")).collect()
        }
        _ => vec![fault(at, &error.masked_with("the value").to_string())],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::canonical::Text;

    fn faults_of(schema: Value, data: &Value) -> Vec<(String, String)> {
        let schema = Schema::compile(schema).expect("a schema");
        schema.validate(Text::from(data).node()).into_iter().map(|fault| (fault.pointer, fault.rule)).collect()
    }

    #[test]
    fn each_fault_names_field_and_rule() {
        let schema = json!({
            "type": "object", "required": ["amount", "a/b~c"], "additionalProperties": false,
            "properties": { "amount": { "type": "string" }, "a/b~c": {}, "list": { "items": { "maximum": 3 } } }
        });
        let faults = faults_of(schema, &json!({ "amount": 5, "list": [1, 9], "other": true }));
        for expected in [
            ("/data/amount", "type"),
            ("/data/a~1b~0c", "required"),
            ("/data/list/1", "maximum"),
            ("/data/other", "additionalProperties"),
        ] {
            assert!(faults.contains(&(expected.0.to_owned(), expected.1.to_owned())), "{expected:?} in {faults:?}");
        }
    }

    proptest! {
        /// A schema accepts a canonical text exactly if it accepts the tree of it.
        #[test]
        fn texts_are_checked_like_trees(
            members in prop::collection::btree_map("[a-d]", value(), 0..4),
            schema in prop::sample::select(schemas()),
        ) {
            let data = Value::Object(members.into_iter().collect());
            let of_tree = jsonschema::options().build(&schema).expect("a schema");
            let expected = of_tree.iter_errors(&data).flat_map(|error| faults(&error)).take(MAX_ERRORS);
            let expected: BTreeSet<_> = expected.map(|fault| (fault.pointer, fault.rule)).collect();
            let found: BTreeSet<_> = faults_of(schema, &data).into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3..4_i32).prop_map(Value::from),
            (-3..4_i32).prop_map(|half| Value::from(f64::from(half) / 2.0)),
            "[ab\"é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..3).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    /// Schemas whose keywords look at every kind of value, at members, elements and names.
    fn schemas() -> Vec<Value> {
        let at_any_depth = |schema: Value| {
            let all = json!({ "allOf": [schema], "items": { "$ref": "#/$defs/all" },
                              "additionalProperties": { "$ref": "#/$defs/all" } });
            json!({ "$defs": { "all": all }, "$ref": "#/$defs/all" })
        };
        let of_type = |name| json!({ "additionalProperties": { "type": name } });
        let types = ["object", "array", "string", "number", "integer", "boolean", "null"];
        types
            .map(of_type)
            .into_iter()
            .chain([
                at_any_depth(json!({ "maxLength": 2, "minimum": -1, "multipleOf": 0.5 })),
                at_any_depth(json!({ "uniqueItems": true, "maxItems": 2, "minProperties": 1 })),
                at_any_depth(json!({ "enum": [null, true, 1, 0.5, "a", [], {}, { "a": 1 }] })),
                at_any_depth(json!({ "propertyNames": { "maxLength": 1, "pattern": "^[ab]" } })),
                at_any_depth(json!({ "not": { "const": { "a": [1] } }, "contains": { "type": "integer" } })),
                json!({ "required": ["a", "b"], "properties": { "a": { "const": 1 } },
                        "patternProperties": { "^[bc]": { "type": "string" } }, "additionalProperties": false }),
                json!({ "dependentRequired": { "a": ["b"] }, "if": { "required": ["c"] }, "then": { "maxProperties": 1 },
                        "unevaluatedProperties": { "type": "array", "prefixItems": [{ "type": "null" }] } }),
            ])
            .collect()
    }

    #[test]
    fn private_names_of_serde_json_are_names() {
        let name = "$serde_json::private::RawValue";
        let schema = json!({ "required": [name], "properties": { name: { "type": "integer" } } });
        assert_eq!(faults_of(schema.clone(), &json!({ name: 1 })), []);
        assert_eq!(faults_of(schema, &json!({ name: "1" })), [(format!("/data/{name}"), "type".to_owned())]);
    }

    #[test]
    fn no_detail_repeats_a_value() {
        let schema =
            Schema::compile(json!({ "properties": { "card": { "type": "integer" }, "pin": { "enum": [1] } } }))
                .expect("a schema");
        let data = Text::from(&json!({ "card": "4111-secret", "pin": "hush-secret" }));
        for fault in schema.validate(data.node()) {
            assert!(!fault.detail.contains("secret"), "{fault:?}");
        }
    }

    #[test]
    fn the_number_of_reported_faults_is_limited() {
        let data = Value::Array(vec![json!("no number"); 500]);
        assert_eq!(faults_of(json!({ "items": { "type": "number" } }), &data).len(), MAX_ERRORS);
    }

    #[test]
    fn formats_are_checked_and_unknown_ones_refused() {
        assert_eq!(faults_of(json!({ "format": "date-time" }), &json!("yesterday")).len(), 1);
        assert!(Schema::compile(json!({ "format": "no-such-format" })).is_err());
    }

    #[test]
    fn other_documents_are_refused_not_fetched() {
        for reference in
            ["http://127.0.0.1:9/schema.json", "https://example.com/schema.json", "file:///etc/hostname", "other.json"]
        {
            assert!(Schema::compile(json!({ "$ref": reference })).is_err(), "{reference}");
        }
        assert!(Schema::compile(json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "null" } } })).is_ok());
    }

    #[test]
    fn other_values_than_schemas_are_refused() {
        for source in
            [json!("anything"), json!(true), json!(null), json!({ "type": "text" }), json!({ "pattern": "(?=x)" })]
        {
            assert!(Schema::compile(source.clone()).is_err(), "{source}");
        }
    }

    #[test]
    fn any_accepts_all_data() {
        let schema = Schema::compile(json!("any")).expect("any");
        assert!(schema.validate(Text::from(&json!({ "x": [null] })).node()).is_empty());
    }
}
