//! The measurement of the positions of this process, for its metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::PositionState;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::assignment::{HeldAssignments, ProcessContext};
use crate::metrics::Metrics;
use crate::ticks::Ticks;

/// Counts the positions that are not live periodically, in the partitions that this process works on, until the process ends.
pub(crate) async fn measure(
    process: Arc<ProcessContext>,
    held: Arc<HeldAssignments>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let mut ticks = Ticks::new(Duration::ZERO, process.settings.measure_interval, &shutdown);
    while ticks.next().await {
        if let Err(error) = measure_once(&process, &held, &metrics).await {
            warn!(error = %error_chain(&error), "the positions cannot be counted; their metrics keep their values");
        }
    }
}

async fn measure_once(process: &ProcessContext, held: &HeldAssignments, metrics: &Metrics) -> Result<(), LedgerError> {
    let assignments = held.by_partition(process.ledger.deployment().partitions);
    let names: BTreeMap<i64, Arc<str>> =
        assignments.iter().map(|((number, _), held)| (*number, held.assignment.context.name.clone())).collect();
    let keys: Vec<(i64, u32)> = assignments.into_keys().collect();
    let counts = process.ledger.positions().count_by_state(&keys).await?;
    let mut found: HashMap<(i64, Option<PositionState>), (u64, f64)> = HashMap::new();
    for count in counts {
        // There may be several states that this release does not know.
        let (positions, age) = found.entry((count.subscription_no, count.state)).or_default();
        *positions += count.positions;
        *age = age.max(count.oldest_seconds);
    }
    let known = PositionState::ALL.into_iter().filter(|state| *state != PositionState::Live);
    let states = known.map(Some).chain([None]);
    metrics.set_positions(names.iter().flat_map(|(number, name)| {
        let found = &found;
        states.clone().map(move |state| {
            let (positions, age) = found.get(&(*number, state)).copied().unwrap_or_default();
            (&**name, state.map_or("unknown", PositionState::as_str), positions, age)
        })
    }));
    Ok(())
}
