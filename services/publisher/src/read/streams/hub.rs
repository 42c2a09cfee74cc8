//! The task that feeds all streams of a replica.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::append::Appended;
use sealbus_ledger::{Ledger, LedgerError};
use sealbus_runtime::memory::Budget;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;

/// The number of events that one query reads.
const EVENTS_PER_QUERY: u32 = 256;
/// The number of queries per feed and poll. If there are more new events than that, streams read them from the ledger.
const QUERIES_PER_POLL: u32 = 16;

/// The events that a stream follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The events of a plan. Positions are seqs.
    Plan(Tenant, Plan),
    /// The sealed events of all plans. Positions are log indexes.
    Log,
}

impl Source {
    /// Returns the owner of the feed's memory. No tenant has the name of the log's owner.
    fn owner(&self) -> &str {
        match self {
            Self::Plan(tenant, _) => tenant.as_str(),
            Self::Log => "_log",
        }
    }
}

/// The feeds that streams read. A feed lives as long as a stream holds it.
pub(crate) struct Hub {
    ledger: Ledger,
    /// The memory of all feeds.
    memory: Budget,
    feeds: Mutex<Feeds>,
    /// Notified when a feed is created.
    feed_added: Notify,
}

/// The feeds of one history of the database server.
struct Feeds {
    /// The history, as a number of changes.
    history: u64,
    of_source: HashMap<Source, Weak<Feed>>,
}

impl Hub {
    /// Creates a hub without feeds. The tenants share the memory of all feeds.
    pub(crate) fn new(ledger: Ledger, memory: Budget) -> Self {
        let feeds = Feeds { history: ledger.server_history().changes(), of_source: HashMap::new() };
        Self { ledger, memory, feeds: Mutex::new(feeds), feed_added: Notify::new() }
    }

    /// Returns the feed of a source, and the position of the next event that the source will get.
    pub(crate) async fn follow(&self, source: &Source) -> Result<(Arc<Feed>, u64), LedgerError> {
        loop {
            let history = self.ledger.server_history().changes();
            let next = match source {
                Source::Plan(tenant, plan) => {
                    self.ledger.history().head(tenant, plan, None).await?.map_or(1, |head| head.seq + 1)
                }
                Source::Log => self.ledger.log().size().await?,
            };
            let mut feeds = self.feeds();
            // In another history the source may have another next event.
            if feeds.history != history {
                continue;
            }
            let feed = feeds.of_source.get(source).and_then(Weak::upgrade).unwrap_or_else(|| {
                let feed = Arc::new(Feed::new(next, self.memory.clone(), source.owner()));
                feeds.of_source.insert(source.clone(), Arc::downgrade(&feed));
                self.feed_added.notify_one();
                feed
            });
            return Ok((feed, next));
        }
    }

    /// Adds events that this replica appended to a plan to the plan's feed, without waiting for the next poll. `history` is the
    /// number of [changes](sealbus_ledger::server_history::ServerHistories::changes) before the append: the events of another
    /// history than that of the feed are not added.
    pub(crate) fn appended(&self, plan: &Source, events: &[Appended], history: u64) {
        let feeds = self.feeds();
        if feeds.history != history {
            return;
        }
        if let Some(feed) = feeds.of_source.get(plan).and_then(Weak::upgrade) {
            for event in events.iter().filter(|event| event.new) {
                feed.push(event.record.header.seq, Arc::clone(&event.record));
            }
        }
    }

    /// Polls the ledger at each interval for new events of the feeds. Sleeps while there are no feeds. Returns when
    /// `shutdown` fires.
    pub(crate) async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        let mut failing = false;
        while shutdown.run_until_cancelled(self.next_poll(interval)).await.is_some() {
            match self.poll().await {
                Ok(()) => failing = false,
                Err(error) if failing => {
                    tracing::debug!(error = %error_chain(&error), "streams still cannot read the ledger");
                }
                Err(error) => {
                    failing = true;
                    tracing::warn!(error = %error_chain(&error), "streams cannot read the ledger; they keep waiting");
                }
            }
        }
    }

    async fn next_poll(&self, interval: Duration) {
        tokio::time::sleep(interval).await;
        while self.live_feeds().is_empty() {
            self.feed_added.notified().await;
        }
    }

    /// Adds the new events of the ledger to the feeds.
    pub(super) async fn poll(&self) -> Result<(), LedgerError> {
        let mut plans = Vec::new();
        for (source, feed) in self.live_feeds() {
            match source {
                Source::Log => self.poll_log(&feed).await?,
                Source::Plan(tenant, plan) => plans.push(((tenant, plan), feed)),
            }
        }
        if plans.is_empty() {
            return Ok(());
        }
        let (names, feeds): (Vec<_>, Vec<_>) = plans.into_iter().unzip();
        let heads = self.ledger.history().heads(&names).await?;
        for (((tenant, plan), feed), head) in names.iter().zip(feeds).zip(heads) {
            if head < feed.next() {
                continue;
            }
            match self.poll_plan(tenant, plan, &feed, head).await {
                Err(error @ LedgerError::Unreadable { .. }) => {
                    tracing::error!(error = %error_chain(&error), "stored event is invalid; the streams of its plan end");
                    // The streams read the events from the ledger, and end at the invalid one. Other plans' streams go on.
                    feed.skip_to(head + 1);
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn poll_log(&self, feed: &Feed) -> Result<(), LedgerError> {
        for _ in 0..QUERIES_PER_POLL {
            let page = self.ledger.history().log_page(None, feed.next(), EVENTS_PER_QUERY).await?;
            let (last_index, is_last) = (page.last_index, page.next.is_none());
            for record in page.records {
                if let Some(index) = record.log_index {
                    // An event that the ledger lacks, or that is invalid, leaves a hole. Later events do not wait for it.
                    feed.skip_to(index);
                    feed.push(index, Arc::new(record));
                }
            }
            // The last events of the page may be invalid.
            feed.skip_to(last_index.map_or(0, |last| last + 1));
            if is_last {
                return Ok(());
            }
        }
        feed.skip_to(self.ledger.log().size().await?);
        Ok(())
    }

    async fn poll_plan(&self, tenant: &Tenant, plan: &Plan, feed: &Feed, head: u64) -> Result<(), LedgerError> {
        let Some(plan_no) = self.ledger.history().plan_no(tenant.as_str(), plan.as_str()).await? else { return Ok(()) };
        for _ in 0..QUERIES_PER_POLL {
            let next = feed.next();
            if next > head {
                return Ok(());
            }
            for record in self.ledger.history().range(plan_no, next, head, EVENTS_PER_QUERY).await? {
                feed.push(record.header.seq, Arc::new(record));
            }
        }
        feed.skip_to(head + 1);
        Ok(())
    }

    /// Returns the feeds that a stream still holds, and removes the others.
    fn live_feeds(&self) -> Vec<(Source, Arc<Feed>)> {
        let mut feeds = self.feeds();
        feeds.of_source.retain(|_, feed| feed.strong_count() > 0);
        feeds.of_source.iter().filter_map(|(source, feed)| Some((source.clone(), feed.upgrade()?))).collect()
    }

    /// Locks the feeds. Drops all of them first if the database server has another history than before: it may lack events that the
    /// feeds have passed, and have others in their places. The streams of these feeds end.
    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        let mut feeds = self.feeds.lock().expect("the lock is only held to look feeds up and to move records");
        let history = self.ledger.server_history().changes();
        if feeds.history != history {
            *feeds = Feeds { history, of_source: HashMap::new() };
        }
        feeds
    }
}
