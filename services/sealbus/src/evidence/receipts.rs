//! Records that publishers were handed: each says that an event must be there.

use std::fs;
use std::path::PathBuf;

use sealbus_core::event::Record;
use sealbus_core::verify::Trust;
use sealbus_core::verify::bundle::read_receipt;

use crate::failure::Failure;

/// Reads them; each has to be sealed by a pinned key, since anybody could claim that an event is missing.
pub(crate) fn read(paths: &[PathBuf], trust: &Trust) -> Result<Vec<Record>, Failure> {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        read_receipt(&bytes, trust)
            .map_err(|error| Failure::new(format!("{}: {}", path.display(), Failure::from(error).message)))
    };
    paths.iter().map(read).collect()
}
