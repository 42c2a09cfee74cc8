//! What a sealer remembers from one sealing transaction to the next.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::Log;
use super::tree::TreeHead;
use crate::LedgerError;
use crate::low_water::LowWater;

/// The state of the database on which a sealer's knowledge of the anchors rests: the run of the server, and the newest tree. While
/// both are what they were before the anchors were read, nobody else has sealed, and nothing that was committed was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingBasis {
    /// When the server was started, in microseconds since 1970. A server that was restarted, promoted or replaced has another one.
    pub(super) server_started: i64,
    pub(super) tree: TreeHead,
}

/// The memory of a sealer. An empty one is safe at any time: the queue is then read from its start.
#[derive(Debug)]
pub struct SealingState {
    /// The numbers of the plans that are stopped. Their rows are left out, so that they do not delay others, and the low-water
    /// bound passes them.
    pub(super) stopped: HashSet<i64>,
    pub(super) low_water: LowWater,
    /// Whether the next transaction reads the queue from its start.
    pub(super) reads_all: bool,
    /// The basis, which follows the transactions of this state. `None` to seal whatever the database holds.
    pub(super) basis: Option<SealingBasis>,
}

impl Default for SealingState {
    fn default() -> Self {
        Self { stopped: HashSet::new(), low_water: LowWater::default(), reads_all: true, basis: None }
    }
}

impl SealingState {
    /// Returns an empty memory of a sealer that seals on this basis only.
    pub fn new(basis: SealingBasis) -> Self {
        Self { basis: Some(basis), ..Self::default() }
    }

    /// Returns the basis after the last sealing transaction.
    pub fn basis(&self) -> Option<&SealingBasis> {
        self.basis.as_ref()
    }

    /// Returns the number of plans that are stopped.
    pub fn stopped_count(&self) -> usize {
        self.stopped.len()
    }

    /// Returns the id from which on the queue has events of plans that are not stopped.
    pub fn low_water_bound(&self) -> i64 {
        self.low_water.bound()
    }

    /// Lets the next transaction read the queue from its start, and try stopped plans again.
    pub fn read_all(&mut self) {
        self.stopped.clear();
        self.reads_all = true;
    }

    /// Returns the lowest id of the queue that the next transaction reads.
    pub(super) fn queue_start(&self) -> i64 {
        if self.reads_all { i64::MIN } else { self.low_water.bound() }
    }

    /// Returns the numbers of the stopped plans, for a statement.
    pub(super) fn stopped_plans(&self) -> Vec<i64> {
        self.stopped.iter().copied().collect()
    }
}

impl Log<'_> {
    /// Returns the basis as it is now.
    pub async fn basis(self) -> Result<SealingBasis, LedgerError> {
        let lane = self.ledger.background();
        lane.within(async { self.read_basis(&mut *lane.acquire().await?).await }).await
    }

    pub(super) async fn read_basis(self, connection: &mut PgConnection) -> Result<SealingBasis, LedgerError> {
        let server_started = sqlx::query_scalar!(
            r#"-- server_started
            SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS "started!""#
        );
        let server_started = server_started.fetch_one(&mut *connection).await?;
        Ok(SealingBasis { server_started, tree: self.tree_head(connection).await? })
    }

    /// Returns whether the next sealing transaction would find an event in the queue. It costs one statement, so that an idle
    /// sealer costs little.
    pub async fn has_queued(self, state: &SealingState) -> Result<bool, LedgerError> {
        let found = sqlx::query_scalar!(
            r#"-- has_queued
            SELECT id FROM sealbus.seal_queue WHERE id >= $2 AND plan_no <> ALL ($1) ORDER BY id LIMIT 1"#,
            &state.stopped_plans(),
            state.queue_start(),
        );
        Ok(found.fetch_optional(self.ledger.background()).await?.is_some())
    }
}
