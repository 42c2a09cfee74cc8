//! What is wrong with a ledger: every check of INTEGRITY, Verifying, as pure rules.
//!
//! A verification goes three steps, and the caller brings what is read, from a database or from a bundle:
//!
//! 1. [`Notes`] takes the checkpoint and the anchors, [`TreeCheck`] the tiles of the tree; together they become a
//!    [`CheckedLog`]. Where there is no log, this step is left out.
//! 2. [`Trust`] is what the verifier pins, and what it learns from a first look at the records: keys, erasures.
//! 3. A [`ChainCheck`] takes each plan's records, compares them with the log and each other, and gives findings. Plans need
//!    nothing of each other and can be checked at once: what they share, which leaves are claimed and which [`Owed`] events
//!    were found, is noted without order. What they come to is put together in a [`Report`].
//!
//! Memory is 32 bytes and a bit for each leaf of the log, some 60 bytes for each anchored size, and what was found.
//!
//! | file | what |
//! |---|---|
//! | `verdict`, `finding` | what can be wrong, and where |
//! | `notes` | checkpoint and anchors: checks 1 to 3, 5 and 6 of the log |
//! | `opened` | a note that its log signed |
//! | `tree` | tiles: check 4 |
//! | `log` | what the two say of an event's leaf |
//! | `seen` | and of when it was there |
//! | `trust` | keys and erasures |
//! | `chain` | a plan's places in order: holes, forks, what must be sealed |
//! | `checks` | what one record is held to |
//! | `owed` | receipts and queue rows |
//! | `report` | what it all came to, and the exit code |
//! | `bundle` | the exported form |

pub mod bundle;
mod chain;
mod checks;
mod finding;
mod log;
mod notes;
mod opened;
mod owed;
mod report;
mod seen;
mod tree;
mod trust;

pub use self::chain::{ChainCheck, ChainSummary};
pub use self::checks::Evidence;
pub use self::finding::{Finding, LogFinding};
pub use self::log::{CheckedLog, Vouched};
pub use self::notes::Notes;
pub use self::owed::Owed;
pub use self::report::{Report, exit_code};
pub use self::tree::TreeCheck;
pub use self::trust::Trust;
pub use crate::verdict::Verdict;
