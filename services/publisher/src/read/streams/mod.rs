//! Live streams: events as they happen, over Server-Sent Events.
//!
//! All streams of a replica are fed by one task ([`Hub`]), which asks the ledger once a tick what is new, and only while
//! there are streams. What it finds goes into a [`Feed`](feed::Feed) for each plan that is followed, and one for the log:
//! a bounded window on the newest events that any number of streams read. A stream that is older than the window, or
//! slower, reads its own pages from the ledger until it has caught up. So nothing waits for a slow reader, and none of
//! them makes memory grow. This replica's own appends are put into their plan's feed at once.

mod feed;
mod hub;
mod sse;
#[cfg(test)]
mod tests;

pub(crate) use self::hub::{Hub, Source};
pub(crate) use self::sse::{begin, open};
