//! An event: what is sealed of it, and how it is stored, logged and shown.

mod header;
mod id;
mod leaf;
mod mode;
mod record;
mod shown;
mod wire;

pub use header::{Header, is_origin};
pub use id::{EventIdentity, event_id};
pub use leaf::Leaf;
pub use mode::{PayloadMode, Priority};
pub use record::{Record, V1};
pub use shown::View;
pub use wire::FormatError;

pub(crate) use header::{MAX_SEQ, is_text};
pub(crate) use id::plain_uuid;
pub(crate) use shown::stored_json;
pub(crate) use wire::{lp, plan_label};
