//! Records in the form of a bundle, and the merge patches of golden cases.

use sealbus_core::event::Record;
use sealbus_core::verify::bundle::{BundledRecord, Content, read_record};
use serde_json::{Value, json};

/// Parses a record in the form of a bundle.
pub(crate) fn bundled(origin: &str, record: &Value) -> BundledRecord {
    read_record(record.to_string().as_bytes(), origin).unwrap()
}

/// Parses a record that must be well-formed.
pub(crate) fn record_of(origin: &str, record: &Value) -> Record {
    match bundled(origin, record).content {
        Content::Record(record, _) => *record,
        Content::Malformed { fault, .. } => panic!("{fault} in {record}"),
    }
}

/// Sorts records as a bundle has them.
pub(crate) fn by_place(mut records: Vec<BundledRecord>) -> Vec<BundledRecord> {
    records.sort_by(|one, other| (&one.tenant, &one.plan, one.seq).cmp(&(&other.tenant, &other.plan, other.seq)));
    records
}

/// Applies a merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
