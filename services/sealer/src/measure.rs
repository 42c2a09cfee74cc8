//! The measurement of the log and its queue, for the metrics.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Resources;

/// Measures the log at each interval, until `ended` is cancelled.
pub(crate) async fn measure(resources: &Resources, every: Duration, ended: &CancellationToken) {
    loop {
        measure_once(resources).await;
        if ended.run_until_cancelled(sleep(every)).await.is_none() {
            return;
        }
    }
}

async fn measure_once(Resources { ledger, metrics, .. }: &Resources) {
    let checkpoint = |kind, size: u64, age| {
        let label = [("checkpoint", kind)];
        metrics.checkpoint_size.get_or_create(&label).set(i64::try_from(size).unwrap_or(i64::MAX));
        metrics.checkpoint_age.get_or_create(&label).set(age);
    };
    let anchored = *metrics.progress.anchored.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((size, at)) = anchored {
        checkpoint("anchored", size, at.elapsed().as_secs_f64());
    }
    match ledger.log().status(metrics.progress.low_water_bound.load(Ordering::Relaxed)).await {
        Ok(status) => {
            if let Some(age) = status.stored_age {
                checkpoint("stored", status.stored_size, age);
            }
            if let Some((size, age)) = status.shown {
                checkpoint("shown", size, age);
            }
            metrics.queued.set(i64::try_from(status.queued).unwrap_or(i64::MAX));
            metrics.queued_age.set(status.oldest_queued);
        }
        Err(error) => {
            tracing::warn!(error = %error_chain(&error), "the log cannot be measured; its metrics keep their values");
        }
    }
}
