//! The pauses of a sealer that has nothing to seal.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_broker::Broker;

/// The longest pause between two looks into the seal queue.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait before the seal queue is read again. The pause doubles while the queue stays empty, and a hint that a
/// publisher sends to the relay ends it: then an idle bus costs two statements a second, and an event is sealed as soon as on a
/// busy one. Without the broker, an event on an idle bus waits for up to [`MAX_PAUSE`].
pub(crate) struct Idle {
    min_pause: Duration,
    pause: Duration,
    broker: Broker,
    /// Resolves when a hint arrives. It is kept until then, so that a hint between two looks is not missed.
    hint: Option<BoxFuture<'static, ()>>,
}

impl Idle {
    /// Returns pauses that begin with `min_pause`.
    pub(crate) fn new(min_pause: Duration, broker: Broker) -> Self {
        Self { min_pause, pause: min_pause, broker, hint: None }
    }

    /// Makes the next pause the shortest one, because the queue was not empty.
    pub(crate) fn reset(&mut self) {
        self.pause = self.min_pause;
        self.hint = None;
    }

    /// Waits until it is time to look into the queue again.
    pub(crate) async fn wait(&mut self) {
        let (pause, broker) = (self.pause, &self.broker);
        self.pause = (pause * 2).min(MAX_PAUSE).max(self.min_pause);
        if pause <= self.min_pause {
            return tokio::time::sleep(pause).await;
        }
        let hint = self.hint.get_or_insert_with(|| {
            let broker = broker.clone();
            async move { broker.any_hint().await }.boxed()
        });
        if tokio::time::timeout(pause, hint).await.is_ok() {
            self.reset();
        }
    }
}
