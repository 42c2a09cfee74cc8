//! The creation of a subscription.

use sealbus_core::error_chain;
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
    let ledger = &process.ledger;
    let mut waits_for = None;
    loop {
        let number = match waits_for {
            None => ledger.subscriptions().find_or_create(&spec.name, spec.start).await.map(|subscribed| {
                if subscribed.start != spec.start {
                    warn!(
                        subscription = %spec.name,
                        start = subscribed.start.as_str(),
                        declared_start = spec.start.as_str(),
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
            Some((number, bound)) => {
                ledger.subscriptions().finish(number, bound).await.map(|finished| finished.then_some(number))
            }
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
        tokio::select! {
            () = ending.cancelled() => return Ok(None),
            () = tokio::time::sleep(process.settings.replay_interval) => {}
        }
    }
}
