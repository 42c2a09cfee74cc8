//! Findings: a verdict, the place where it applies, and a detail for people.

use serde::{Deserialize, Serialize};

use crate::verify::Verdict;

/// A failed check at a place that the caller knows: the verdict and the detail.
pub(super) type Failure = (Verdict, String);

/// A finding about an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The check that failed.
    pub verdict: Verdict,
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan of the event.
    pub plan: String,
    /// The seq of the event.
    pub seq: u64,
    /// An explanation for people. It contains no secret and no payload.
    pub detail: String,
}

/// A finding about the log itself: about a note, a tile, or a leaf that belongs to no known plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFinding {
    /// The check that failed.
    pub verdict: Verdict,
    /// The place: `checkpoint`, `anchors/3`, `anchors`, `size 14`, `tile/0/000.p/14` or `leaf 6`.
    pub place: String,
    /// An explanation for people.
    pub detail: String,
}

impl Finding {
    /// Returns the place as text, such as `acme/order-1/5`. It cannot be parsed again, since a plan name may contain a
    /// slash.
    pub fn place(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.plan, self.seq)
    }
}

impl LogFinding {
    pub(super) fn new(verdict: Verdict, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { verdict, place: place.into(), detail: detail.into() }
    }
}
