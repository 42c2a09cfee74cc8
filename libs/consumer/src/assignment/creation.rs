//! The creation of a subscription.

use sealbus_core::error_chain;
use sealbus_ledger::delivery::subscriptions::Subscribed;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

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
    loop {
        match subscriptions.find_or_create(&spec.name, spec.start).await {
            Ok(Subscribed { subscription_no, start }) => {
                if start != spec.start {
                    let (start, declared_start) = (start.as_str(), spec.start.as_str());
                    warn!(
                        subscription = %spec.name,
                        start,
                        declared_start,
                        "subscription already exists with a different start; the declared start is ignored"
                    );
                }
                return Ok(Some(subscription_no));
            }
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
