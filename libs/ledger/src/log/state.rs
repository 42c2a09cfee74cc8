//! What a sealer remembers from one sealing transaction to the next.

use std::collections::HashSet;

use crate::low_water::LowWater;

/// The memory of a sealer. An empty one is safe at any time: the queue is then read from its start.
#[derive(Debug)]
pub struct SealingState {
    /// The numbers of the plans that are stopped. Their rows are left out, so that they do not delay others, and the low-water
    /// bound passes them.
    pub(super) stopped: HashSet<i64>,
    pub(super) low_water: LowWater,
    /// Whether the next transaction reads the queue from its start.
    pub(super) reads_all: bool,
}

impl Default for SealingState {
    fn default() -> Self {
        Self { stopped: HashSet::new(), low_water: LowWater::default(), reads_all: true }
    }
}

impl SealingState {
    /// Lets the next transaction read the queue from its start, and try stopped plans again.
    pub fn read_all(&mut self) {
        self.stopped.clear();
        self.reads_all = true;
    }
}
