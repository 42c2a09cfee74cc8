//! Bundles: an exported log or some plans of it, which can be verified without a server and without a secret
//! (`docs/spec/integrity.md#bundle-files`). There is no I/O here: the caller passes in files and lines.
//!
//! ```text
//! checkpoint      the newest note; in a bundle of plans the newest anchored one
//! anchors/<n>     every available anchored note
//! tile/…          hash tiles of the checkpoint's size; not in a bundle of plans
//! events.jsonl    records, ordered by tenant, plan, seq; in a bundle of plans also the records of _keys, and a proof
//!                 in each sealed record
//! ```

mod path;
mod readers;
mod record;

pub use self::path::{BundlePath, find_tile};
pub use self::readers::{EventLines, LineError, ReceiptError, read_receipt};
pub use self::record::{
    BundledRecord, Content, MAX_LINE_BYTES, RecordError, read_record, write_malformed, write_record,
};
