//! Verification: every check of `docs/spec/integrity.md#verifying`, as pure rules without I/O.
//!
//! A verification has three steps. The caller reads from a database or from a bundle and passes the data in.
//!
//! 1. [`Notes`] takes the checkpoint and the anchors, and [`TreeCheck`] takes the tiles. Together they become a
//!    [`CheckedLog`]. This step is left out if there is no log.
//! 2. [`Trust`] holds what the verifier pins, and what a first pass over the records adds: key windows and erasures.
//! 3. A [`ChainCheck`] takes the records of one plan, compares them with the log and with each other, and returns
//!    findings. Plans are independent and can be checked in parallel. They share the set of claimed leaves and the
//!    [`UnansweredReceipts`], which are updated in any order. A [`Report`] collects the results.
//!
//! Memory: 32 bytes and one bit for each leaf of the log, about 60 bytes for each anchored size, and the findings.
//!
//! | file | content |
//! |---|---|
//! | `finding` | a verdict, the name of a failed check, at a place |
//! | `notes` | checkpoint and anchors: checks 1, 2, 3, 5 and 6 of notes and tiles |
//! | `tree` | hash tiles: check 4 of notes and tiles |
//! | `log` | the checked log, and check 13 of an event's leaf |
//! | `trusted_times` | the trusted times before and after a leaf was added |
//! | `trust` | key windows and erasures |
//! | `chain` | the records of a plan in order: gaps, forks, unsealed events |
//! | `checks` | the checks of one record |
//! | `unanswered_receipts` | events that receipts and the seal queue acknowledge: check 18 |
//! | `report` | counts, findings and exit code |
//! | `bundle` | the exported form |
//!
//! The numbers of checks are those of `docs/spec/integrity.md#checks-of-notes-and-tiles` and
//! `docs/spec/integrity.md#checks-of-events`.

pub mod bundle;
mod chain;
mod checks;
mod finding;
mod log;
mod notes;
mod report;
mod tree;
mod trust;
mod trusted_times;
mod unanswered_receipts;

pub use self::chain::{ChainCheck, ChainSummary, LeafEvidence};
pub use self::finding::{Finding, LogFinding};
pub use self::log::{CheckedLog, Vouched};
pub use self::notes::Notes;
pub use self::report::{AnchorRead, AnchorState, Report, exit_code};
pub use self::tree::TreeCheck;
pub use self::trust::Trust;
pub use self::unanswered_receipts::UnansweredReceipts;
pub use crate::verdict::Verdict;
