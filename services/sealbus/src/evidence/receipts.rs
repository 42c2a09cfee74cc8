//! Receipts: records that publishers were given. Each requires that its event is present.

use std::fs;
use std::path::PathBuf;

use sealbus_core::event::Record;
use sealbus_core::verify::Trust;
use sealbus_core::verify::bundle::read_receipt;

use crate::failure::Failure;

/// Reads receipts. Refuses one that no pinned key sealed: without a seal, anyone could claim that an event is missing.
pub(super) fn read(paths: &[PathBuf], trust: &Trust) -> Result<Vec<Record>, Failure> {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).map_err(|error| Failure::caused(path.display(), &error))?;
        read_receipt(&bytes, trust).map_err(|error| Failure::caused(path.display(), &error))
    };
    paths.iter().map(read).collect()
}
