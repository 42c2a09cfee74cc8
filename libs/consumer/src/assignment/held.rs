//! The shares that this process holds now: whom its sweep walks for, and its replay.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::assignment::{PlanName, Share};

/// A held share, and how its holder is told that a plan is due.
#[derive(Clone)]
pub(crate) struct HeldShare {
    pub share: Share,
    pub due: mpsc::UnboundedSender<PlanName>,
}

/// All held shares, by subscription and partition (none: all partitions).
#[derive(Default)]
pub(crate) struct HeldShares(Mutex<BTreeMap<(i64, Option<u32>), HeldShare>>);

impl HeldShares {
    pub(crate) fn add(&self, held: HeldShare) {
        let key = (held.share.worked.subscription_no, held.share.partition);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, held);
    }

    /// Takes a share out, unless the key is held anew already.
    pub(crate) fn remove(&self, share: &Share) {
        let key = (share.worked.subscription_no, share.partition);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&key).is_some_and(|held| held.share.lease.epoch() == share.lease.epoch()) {
            held.remove(&key);
        }
    }

    /// Held shares by (subscription, partition); one of all partitions stands under each.
    pub(crate) fn by_partition(&self, partitions: u32) -> BTreeMap<(i64, u32), HeldShare> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values()
            .flat_map(|held| {
                let of = match held.share.partition {
                    Some(partition) => partition..partition + 1,
                    None => 0..partitions,
                };
                of.map(|partition| ((held.share.worked.subscription_no, partition), held.clone()))
            })
            .collect()
    }
}
