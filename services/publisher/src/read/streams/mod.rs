//! Live streams: events over Server-Sent Events as they are stored or sealed.
//!
//! One task, the [`Hub`], feeds all streams of a replica. It polls the ledger once per interval, and only while there are
//! streams. New events go into a [`Feed`](feed::Feed), of which there is one for each followed plan and one for the log: a
//! bounded window of the newest events, which any number of streams read. A stream that starts before the window, or falls
//! behind it, reads pages from the ledger until it has caught up. A slow reader therefore delays nobody. The replica's own
//! appends enter the feed of their plan without waiting for the next poll.
//!
//! Everything that a stream reads or sends takes memory of a budget that tokens share, until it is written to the client. A stream
//! waits while its token's part is used up. The windows of all feeds share another budget.

mod feed;
mod hub;
mod opening;
mod sse;
#[cfg(test)]
mod tests;

pub(crate) use self::hub::{Hub, Source};
pub(crate) use self::opening::{OpenStreams, Streams, resume_position};
