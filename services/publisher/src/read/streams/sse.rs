//! One stream: from its place on, event by event, with a sign of life when there is nothing to say.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use prometheus_client::metrics::gauge::Gauge;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::Record;
use sealbus_core::names::Tenant;
use sealbus_ledger::LedgerError;
use sealbus_ledger::history::trail::LogQuery;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::feed::{Feed, Taken};
use super::hub::Source;
use crate::app::App;
use crate::auth::caller::{Caller, single};
use crate::auth::tokens::Token;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;

/// Events that a stream holds at a time.
const CHUNK: u32 = 64;

/// Where a stream is to begin: behind `Last-Event-ID`, or else `after`; none: now.
///
/// A client that reconnects sends the header beside its old address, so the header counts.
pub(crate) fn begin(headers: &HeaderMap, parameters: &mut Parameters) -> Result<Option<u64>, Refused> {
    let after = parameters.number("after")?;
    match single(headers, "last-event-id")?.filter(|id| !id.is_empty()) {
        None => Ok(after),
        Some(id) => id.parse().map(Some).map_err(|_| {
            Refused::field(
                ErrorKind::InvalidField,
                "Last-Event-ID",
                "type",
                "is the id of an event of this stream, a whole number",
            )
        }),
    }
}

/// Opens a stream; of the log, with these tenants' events only (none: all).
pub(crate) async fn open(
    app: &Arc<App>,
    caller: &Caller,
    source: Source,
    tenants: Option<Vec<Tenant>>,
    after: Option<u64>,
) -> Result<Response, Problem> {
    let Ok(share) = Arc::clone(&app.streams).try_acquire_owned() else {
        return Err(Problem::new(ErrorKind::Overloaded, "as many streams are open as this replica has"));
    };
    let (feed, now) = app.hub.follow(&source).await?;
    app.metrics.streams.inc();
    let mut heartbeat = interval_at(Instant::now() + app.heartbeat, app.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream {
        place: after.map_or(now, |after| after.saturating_add(1)),
        news: feed.news(),
        heartbeat,
        token: Arc::clone(&caller.token),
        queue: VecDeque::new(),
        plan_no: None,
        _open: Open { gauge: app.metrics.streams.clone(), _share: share },
        app: Arc::clone(app),
        feed,
        source,
        tenants,
    };
    // A client that loses the stream before its first event comes back with this id, and goes on from where it began. Before
    // the very first leaf of the log there is no place to name.
    let from = stream.place.checked_sub(1).map_or_else(String::new, |before| format!("id: {before}\n"));
    let opening = format!(": the stream is open\nretry: 1000\n{from}\n");
    let opening = stream::iter([Ok::<_, Infallible>(Bytes::from(opening))]);
    let frames = stream::unfold(stream, |mut stream| async move { Some((Ok(stream.frame().await?), stream)) });
    let mut answer = Body::from_stream(opening.chain(frames)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that hold answers back would hold back a stream for ever.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(answer)
}

/// A stream that is open.
struct Stream {
    app: Arc<App>,
    source: Source,
    tenants: Option<Vec<Tenant>>,
    token: Arc<Token>,
    feed: Arc<Feed>,
    news: watch::Receiver<u64>,
    heartbeat: Interval,
    /// The place of the next event to send.
    place: u64,
    queue: VecDeque<Arc<Record>>,
    plan_no: Option<i64>,
    _open: Open,
}

/// A stream's share of what there is for streams, given back when it ends.
struct Open {
    gauge: Gauge,
    _share: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Stream {
    /// The next bytes to send; none: the stream ends, since the publisher stops or the token no longer counts.
    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(record) = self.queue.front().cloned() {
                if let Ok(event) = self.event(record).await {
                    self.queue.pop_front();
                    if event.is_some() {
                        return event;
                    }
                    continue;
                }
                // The ledger is away, and the event's key with it.
                if self.is_over() {
                    return None;
                }
                if let Some(sign) = self.wait().await {
                    return Some(sign);
                }
                continue;
            }
            if self.is_over() {
                return None;
            }
            match self.feed.take(self.place, CHUNK as usize) {
                Taken::Records(records) => self.queue = records.into(),
                Taken::CaughtUp => {
                    if let Some(sign) = self.wait().await {
                        return Some(sign);
                    }
                }
                Taken::Behind(oldest) => {
                    if self.read(oldest).await.is_err()
                        && let Some(sign) = self.wait().await
                    {
                        return Some(sign);
                    }
                }
            }
        }
    }

    /// An event's bytes, none where the stream does not want it. An envelope is opened only now, when it is to be sent.
    async fn event(&mut self, record: Arc<Record>) -> Result<Option<Bytes>, LedgerError> {
        let Some(place) = self.place_of(&record) else { return Ok(None) };
        let view = if self.wants(&record) { self.app.views(&self.token, [record]).await?.pop() } else { None };
        self.place = place + 1;
        Ok(view.map(|view| {
            self.app.metrics.streamed.inc();
            Bytes::from(format!("id: {place}\ndata: {}\n\n", view.to_json_text()))
        }))
    }

    fn is_over(&self) -> bool {
        self.app.shutdown.is_cancelled() || !self.app.tokens.still_counts(&self.token, self.app.clock.now())
    }

    /// Waits for news or the end, or until it is time for a sign of life, which it then gives.
    async fn wait(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.app.shutdown.cancelled() => None,
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b": still here\n\n")),
            // The sender lives as long as the feed, which this stream holds.
            _ = self.news.changed() => None,
        }
    }

    /// Reads what is no longer in the window, all of which lies before `oldest`.
    async fn read(&mut self, oldest: u64) -> Result<(), LedgerError> {
        let ledger = &self.app.ledger;
        let records = match &self.source {
            Source::Log => {
                let query = LogQuery { tenants: self.tenants.clone(), from_index: self.place, limit: CHUNK };
                ledger.history().log_page(&query).await?
            }
            Source::Plan(tenant, plan) => {
                if self.plan_no.is_none() {
                    self.plan_no = ledger.history().plan_no(tenant.as_str(), plan.as_str()).await?;
                }
                match self.plan_no {
                    Some(plan_no) => {
                        ledger.history().range(plan_no, self.place, oldest.saturating_sub(1), CHUNK).await?
                    }
                    None => Vec::new(),
                }
            }
        };
        if records.is_empty() {
            // What lies before the window is other tenants'.
            self.place = oldest;
        }
        self.queue = records.into_iter().map(Arc::new).collect();
        Ok(())
    }

    fn place_of(&self, record: &Record) -> Option<u64> {
        match self.source {
            Source::Log => record.log_index,
            Source::Plan(..) => Some(record.header.seq),
        }
    }

    fn wants(&self, record: &Record) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|tenant| tenant.as_str() == record.header.tenant))
    }
}
