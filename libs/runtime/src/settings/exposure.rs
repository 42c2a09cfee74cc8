//! Warnings about files with secrets that every user of the machine can read.
//!
//! They are warnings, not refusals: in a container with one user such a mode does no harm, and it is the default of a mounted
//! Kubernetes secret. A mode for a group causes no warning, because `fsGroup` needs it.

use std::path::Path;

use super::table;
use crate::files::{files_at, is_open_to_all};

/// Returns the settings that name files which hold secrets or decide who has access.
pub(super) fn private_paths() -> [&'static str; 3] {
    [table::KEYRING.name(), table::TOKENS.name(), table::SUBSCRIPTIONS.name()]
}

/// Returns a warning if every user can read or change the file, or a file of the folder, that the variable `name` names.
pub(super) fn warning(name: &str, path: &Path) -> Option<String> {
    let files = files_at(path, &["json", "yaml", "yml"]).unwrap_or_default();
    let file = files.into_iter().find(|file| is_open_to_all(file))?;
    Some(format!("{name}: every user can read or change {}; restrict it to mode 0640 or 0600", file.display()))
}
