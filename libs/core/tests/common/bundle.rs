//! Records in the bundle's form, and the patches that tamper with them.

use sealbus_core::event::Record;
use sealbus_core::verify::bundle::{BundledRecord, Content, read_record};
use serde_json::{Value, json};

/// A record in the bundle's form, as it is read.
pub(crate) fn bundled(origin: &str, record: &Value) -> BundledRecord {
    read_record(record.to_string().as_bytes(), origin).unwrap()
}

/// The same where no tampering makes it none.
pub(crate) fn record_of(origin: &str, record: &Value) -> Record {
    match bundled(origin, record).content {
        Content::Record(record, _) => *record,
        Content::Malformed { fault, .. } => panic!("{fault} in {record}"),
    }
}

/// Sorted as a bundle has them.
pub(crate) fn by_place(mut records: Vec<BundledRecord>) -> Vec<BundledRecord> {
    records.sort_by(|one, other| (&one.tenant, &one.plan, one.seq).cmp(&(&other.tenant, &other.plan, other.seq)));
    records
}

/// RFC 7396.
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
