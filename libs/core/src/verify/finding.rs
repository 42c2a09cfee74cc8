//! What was found, and where.

use serde::{Deserialize, Serialize};

use crate::verify::Verdict;

/// One thing found at one place of one plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub verdict: Verdict,
    /// Whose plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The place in it.
    pub seq: u64,
    /// More of it, for a person to read. No secret and no payload.
    pub detail: String,
}

/// One thing found of the log itself: of a note, a tile, or a leaf that is no plan's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFinding {
    /// What.
    pub verdict: Verdict,
    /// Where: `checkpoint`, `anchors/3`, `size 14`, `tile/0/000.p/14`, `leaf 6`.
    pub place: String,
    /// More of it, for a person to read.
    pub detail: String,
}

impl Finding {
    /// Where: `acme/order-1/5`. A plan's name can hold a slash; nothing is read back from this.
    pub fn place(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.plan, self.seq)
    }
}

impl LogFinding {
    pub(super) fn new(verdict: Verdict, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { verdict, place: place.into(), detail: detail.into() }
    }
}
