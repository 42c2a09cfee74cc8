//! Bundles: an exported log, or some plans of it, in a folder or a tar. `sealbus_core::verify::bundle` and
//! docs/spec/integrity.md#bundle-files describe the files.

mod check;
mod export;
mod source;
mod target;

pub(crate) use self::check::verify;
pub(crate) use self::export::{Exported, export};
pub(crate) use self::source::Source;
pub(crate) use self::target::Target;
