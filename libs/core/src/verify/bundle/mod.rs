//! A bundle: an exported log, or some plans of it, that is verified without a server and without a secret (INTEGRITY,
//! Verifying). No I/O: the caller brings files and lines.
//!
//! ```text
//! checkpoint      the newest note; in a bundle of plans the newest anchored one
//! anchors/<n>     every anchored note at hand
//! tile/…          hash tiles of the checkpoint's size; not in a bundle of plans
//! events.jsonl    records by tenant, plan, seq; a bundle of plans also holds _keys, and a proof in each sealed record
//! ```
//!
//! | file | what |
//! |---|---|
//! | `path` | what a file of a bundle is, and where a tile lies |
//! | `record` | a record's JSON, written and strictly read |
//! | `lines` | `events.jsonl` line by line, and whether it can be read at all |
//! | `receipt` | a record that was handed out |

mod lines;
mod path;
mod receipt;
mod record;

pub use self::lines::{EventLines, LineError};
pub use self::path::{BundlePath, find_tile};
pub use self::receipt::{ReceiptError, read_receipt};
pub use self::record::{BundledRecord, Content, MAX_LINE, RecordError, read_record, write_record};
