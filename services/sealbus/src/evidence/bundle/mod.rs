//! A bundle: an exported log, or some plans of it, in a folder or a tar. What its files are says `sealbus_core::verify::bundle`.
//!
//! - `source`: the files of a bundle that is read.
//! - `target`: the files of a bundle that is written.
//! - `export`: a ledger's evidence, written.
//! - `check`: a bundle, verified by what is pinned and nothing else.

mod check;
mod export;
mod source;
mod target;

pub(crate) use self::check::verify;
pub(crate) use self::export::{Exported, export};
pub(crate) use self::source::Source;
pub(crate) use self::target::Target;
