//! The lease that a holder acts under, as its actors see it.

use std::sync::Arc;

use sealbus_ledger::delivery::positions::LeaseEpoch;
use sealbus_ledger::leases::keeper;
use tokio_util::sync::CancellationToken;

/// A held lease. Clones are of the same hold.
#[derive(Clone)]
pub(crate) struct Lease {
    held: keeper::Lease,
    fence: Arc<LeaseEpoch>,
    going: CancellationToken,
}

impl Lease {
    /// A lease of that kind. `going` ends what its holder does between two steps.
    pub(crate) fn new(kind: &str, held: keeper::Lease, going: CancellationToken) -> Self {
        let fence = Arc::new(LeaseEpoch { kind: kind.to_owned(), key: held.key().to_owned(), epoch: held.epoch() });
        Self { held, fence, going }
    }

    /// The fencing token.
    pub(crate) fn epoch(&self) -> i64 {
        self.fence.epoch
    }

    /// What first rows are inserted under.
    pub(crate) fn epoch_of(&self) -> &LeaseEpoch {
        &self.fence
    }

    /// Whether it is held at this moment, on the monotonic clock. A process that is paused right after may still act late.
    pub(crate) fn is_held(&self) -> bool {
        self.held.still_held()
    }

    /// Comes when the lease is lost, or the process is ending.
    pub(crate) async fn gone(&self) {
        self.going.cancelled().await;
    }
}
