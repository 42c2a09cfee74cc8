//! The creation of a subscription.

use sealbus_core::error_chain;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::assignment::ProcessContext;
use crate::error::ConsumerError;
use crate::subscription::SubscriptionSpec;

/// Finds or creates a subscription, and returns its number. Returns `None` if the process ends first.
pub(crate) async fn create(
    process: &ProcessContext,
    spec: &SubscriptionSpec,
    ending: &CancellationToken,
) -> Result<Option<i64>, ConsumerError> {
    let subscriptions = process.ledger.subscriptions();
    let mut waits_for = None;
    loop {
        let number = match waits_for {
            None => subscriptions.find_or_create(&spec.name, spec.start).await.map(|subscribed| {
                if subscribed.start != spec.start {
                    let (start, declared_start) = (subscribed.start.as_str(), spec.start.as_str());
                    warn!(
                        subscription = %spec.name,
                        start,
                        declared_start,
                        "subscription already exists with a different start; the declared start is ignored"
                    );
                }
                if subscribed.waits_for.is_some() {
                    info!(
                        subscription = %spec.name,
                        "subscription starts from now; waiting until earlier events are sealed"
                    );
                }
                waits_for = subscribed.waits_for.map(|bound| (subscribed.subscription_no, bound));
                waits_for.is_none().then_some(subscribed.subscription_no)
            }),
            Some((number, bound)) => subscriptions.finish(number, bound).await.map(|done| done.then_some(number)),
        };
        match number {
            Ok(Some(number)) => return Ok(Some(number)),
            Ok(None) => {}
            Err(error) if error.is_unreachable() => {
                let error = error_chain(&error);
                warn!(subscription = %spec.name, error, "ledger unreachable; creation of the subscription is retried");
            }
            Err(source) => return Err(ConsumerError::Subscribe { subscription: spec.name.to_string(), source }),
        }
        if ending.run_until_cancelled(sleep(process.settings.replay_interval)).await.is_none() {
            return Ok(None);
        }
    }
}
