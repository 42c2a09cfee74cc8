//! Events: their sealed fields, and the forms in which they are stored, logged and shown.

mod header;
mod id;
mod leaf;
mod mode;
mod record;
mod shown;

pub use self::header::{Header, is_origin};
pub(crate) use self::header::{MAX_SEQ, is_text};
pub use self::id::{EventIdentity, event_id, plain_uuid};
pub use self::leaf::Leaf;
pub use self::mode::{PayloadMode, Priority};
pub use self::record::{Record, V1};
pub use self::shown::View;
pub(crate) use self::shown::stored_json;
pub use crate::wire::FormatError;
