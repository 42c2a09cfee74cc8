//! What is wrong with a chain: every check that needs no log (INTEGRITY, Verifying, checks 1 to 12 and the first half of 15).

mod chain;
mod trust;
mod verdict;

pub use chain::{ChainCheck, ChainSummary};
pub use trust::Trust;
pub use verdict::{Finding, Verdict};
