//! Publishers that put load on a bus, and what was acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};

use sealbus_client::{Client, NewEvent};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The ids of acknowledged events by plan.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(pub BTreeMap<String, BTreeSet<Uuid>>);

/// Publishes `events` events to each of `plans` plans: in sequence within a plan, and to all plans in parallel.
pub(crate) async fn load(client: &Client, plans: usize, events: usize) -> Acknowledged {
    publish_while(client, plans, move |n| n < events).await
}

/// Publishers that publish until they are stopped.
pub(crate) struct Load {
    end: CancellationToken,
    publishing: JoinHandle<Acknowledged>,
}

impl Load {
    pub(crate) fn start(client: Client, plans: usize) -> Self {
        let end = CancellationToken::new();
        let ended = end.clone();
        let publishing =
            tokio::spawn(async move { publish_while(&client, plans, move |_| !ended.is_cancelled()).await });
        Self { end, publishing }
    }

    pub(crate) async fn end(self) -> Acknowledged {
        self.end.cancel();
        self.publishing.await.unwrap()
    }
}

async fn publish_while<F>(client: &Client, plans: usize, may_continue: F) -> Acknowledged
where
    F: Fn(usize) -> bool + Clone + Send + Sync + 'static,
{
    let mut publishers = JoinSet::new();
    for plan in 0..plans {
        let (client, may_continue) = (client.clone(), may_continue.clone());
        publishers.spawn(async move {
            let name = format!("plan-{plan}");
            let mut ids = BTreeSet::new();
            for n in (0..).take_while(|n| may_continue(*n)) {
                let published = client.publish(&name, &NewEvent::new("test.happened", json!({"n": n}))).await.unwrap();
                ids.insert(published.event.id);
            }
            (name, ids)
        });
    }
    let mut acknowledged = Acknowledged::default();
    while let Some(published) = publishers.join_next().await {
        acknowledged.0.extend([published.unwrap()]);
    }
    acknowledged
}
