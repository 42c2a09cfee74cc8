//! The one task that feeds all streams of a replica.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::append::Appended;
use sealbus_ledger::history::trail::LogQuery;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;

/// Events that are read at a time.
const CHUNK: u32 = 256;
/// Chunks that are read for a feed at a tick; where there is more, readers read it themselves.
const CHUNKS: u32 = 16;

/// What a stream follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A plan, by seq.
    Plan(Tenant, Plan),
    /// All plans, by log index.
    Log,
}

/// The feeds that somebody reads.
pub struct Hub {
    ledger: Ledger,
    feeds: Mutex<HashMap<Source, Weak<Feed>>>,
    /// The first feed came.
    wanted: Notify,
}

impl Hub {
    /// A hub without feeds.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, feeds: Mutex::new(HashMap::new()), wanted: Notify::new() }
    }

    /// The feed of a source, which lives as long as somebody holds it, and the place at which "now" is.
    pub async fn follow(&self, source: &Source) -> Result<(Arc<Feed>, u64), LedgerError> {
        let now = match source {
            Source::Plan(tenant, plan) => {
                self.ledger.history().head(tenant, plan, None).await?.map_or(1, |head| head.seq + 1)
            }
            Source::Log => self.ledger.log().size().await?,
        };
        let mut feeds = self.feeds();
        let feed = feeds.get(source).and_then(Weak::upgrade).unwrap_or_else(|| {
            let feed = Arc::new(Feed::new(now));
            feeds.insert(source.clone(), Arc::downgrade(&feed));
            self.wanted.notify_one();
            feed
        });
        Ok((feed, now))
    }

    /// Puts this replica's own events into the feeds of their plans, without waiting for a tick.
    pub fn appended(&self, events: &[Appended]) {
        let feeds = self.feeds();
        if feeds.is_empty() {
            return;
        }
        let Some(first) = events.first() else { return };
        let header = &first.record.header;
        let (Ok(tenant), Ok(plan)) = (Tenant::parse_any(&header.tenant), Plan::parse_any(&header.plan)) else { return };
        if let Some(feed) = feeds.get(&Source::Plan(tenant, plan)).and_then(Weak::upgrade) {
            events
                .iter()
                .filter(|event| event.new)
                .for_each(|event| feed.push(event.record.header.seq, Arc::clone(&event.record)));
        }
    }

    /// Looks at each tick what is new for the feeds that there are; rests while there are none.
    pub async fn run(&self, tick: Duration, shutdown: CancellationToken) {
        let mut away = false;
        while shutdown.run_until_cancelled(self.wait(tick)).await.is_some() {
            match self.look().await {
                Ok(()) => away = false,
                Err(error) if away => tracing::debug!(error = error_chain(&error), "streams still stand still"),
                Err(error) => {
                    away = true;
                    tracing::warn!(error = error_chain(&error), "streams stand still: the ledger could not be read");
                }
            }
        }
    }

    async fn wait(&self, tick: Duration) {
        tokio::time::sleep(tick).await;
        while self.followed().is_empty() {
            self.wanted.notified().await;
        }
    }

    async fn look(&self) -> Result<(), LedgerError> {
        let mut plans = Vec::new();
        for (source, feed) in self.followed() {
            match source {
                Source::Log => self.look_at_log(&feed).await?,
                Source::Plan(tenant, plan) => plans.push(((tenant, plan), feed)),
            }
        }
        if plans.is_empty() {
            return Ok(());
        }
        let (names, feeds): (Vec<_>, Vec<_>) = plans.into_iter().unzip();
        let heads = self.ledger.history().heads(&names).await?;
        for (((tenant, plan), feed), head) in names.iter().zip(feeds).zip(heads) {
            if head >= feed.next() {
                self.look_at_plan(tenant, plan, &feed, head).await?;
            }
        }
        Ok(())
    }

    async fn look_at_log(&self, feed: &Feed) -> Result<(), LedgerError> {
        for _ in 0..CHUNKS {
            let records = self
                .ledger
                .history()
                .log_page(&LogQuery { tenants: None, from_index: feed.next(), limit: CHUNK })
                .await?;
            let last = records.len() < CHUNK as usize;
            for record in records {
                if let Some(index) = record.log_index {
                    feed.push(index, Arc::new(record));
                }
            }
            if last {
                return Ok(());
            }
        }
        feed.jump(self.ledger.log().size().await?);
        Ok(())
    }

    async fn look_at_plan(&self, tenant: &Tenant, plan: &Plan, feed: &Feed, head: u64) -> Result<(), LedgerError> {
        let Some(plan_no) = self.ledger.history().plan_no(tenant.as_str(), plan.as_str()).await? else { return Ok(()) };
        for _ in 0..CHUNKS {
            let next = feed.next();
            if next > head {
                return Ok(());
            }
            for record in self.ledger.history().range(plan_no, next, head, CHUNK).await? {
                feed.push(record.header.seq, Arc::new(record));
            }
        }
        feed.jump(head + 1);
        Ok(())
    }

    /// The feeds that somebody still holds; the others go.
    fn followed(&self) -> Vec<(Source, Arc<Feed>)> {
        let mut feeds = self.feeds();
        feeds.retain(|_, feed| feed.strong_count() > 0);
        feeds.iter().filter_map(|(source, feed)| Some((source.clone(), feed.upgrade()?))).collect()
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<Source, Weak<Feed>>> {
        self.feeds.lock().expect("no holder of the feeds panics: it only looks and moves")
    }
}
