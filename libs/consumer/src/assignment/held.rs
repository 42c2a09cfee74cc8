//! The assignments that this process owns now, for the sweep and the replay of all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::assignment::Assignment;
use crate::assignment::plan_name::PlanName;

/// An assignment, and the channel by which its worker learns that a plan is due for replay.
#[derive(Clone)]
pub(crate) struct HeldAssignment {
    pub assignment: Arc<Assignment>,
    pub due: mpsc::UnboundedSender<PlanName>,
}

/// All assignments of this process, by subscription number and partition (`None`: all partitions).
#[derive(Default)]
pub(crate) struct HeldAssignments(Mutex<BTreeMap<(i64, Option<u32>), HeldAssignment>>);

impl HeldAssignments {
    pub(crate) fn add(&self, held: HeldAssignment) {
        let key = key(&held.assignment);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, held);
    }

    /// Removes an assignment, unless this process has got the same partition again under a later epoch.
    pub(crate) fn remove(&self, assignment: &Assignment) {
        let key = key(assignment);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&key).is_some_and(|held| held.assignment.lease_epoch == assignment.lease_epoch) {
            all.remove(&key);
        }
    }

    /// Returns the assignments by (subscription number, partition). One of all partitions appears under each of them.
    pub(crate) fn by_partition(&self, partitions: u32) -> BTreeMap<(i64, u32), HeldAssignment> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .flat_map(|held| {
                let numbers = match held.assignment.partition {
                    Some(partition) => partition..partition + 1,
                    None => 0..partitions,
                };
                numbers.map(|partition| ((held.assignment.context.subscription_no, partition), held.clone()))
            })
            .collect()
    }
}

fn key(assignment: &Assignment) -> (i64, Option<u32>) {
    (assignment.context.subscription_no, assignment.partition)
}
