//! The newest events of a plan, or of the log, in a bounded window that any number of streams read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use sealbus_core::event::Record;
use sealbus_runtime::memory::{Budget, Reservation};
use tokio::sync::watch;

/// The maximum number of events in a window.
const MAX_EVENTS: usize = 512;
/// The maximum bytes of records in a window.
const MAX_BYTES: usize = 1024 * 1024;
/// The memory of a record in addition to its payload and metadata, in bytes.
const OVERHEAD_BYTES: usize = 1_024;

/// A window on a source of events. Positions are the seqs of a plan or the indexes of the log: consecutive integers.
#[derive(Debug)]
pub(crate) struct Feed {
    memory: Budget,
    /// The owner of the window's memory.
    owner: String,
    window: Mutex<Window>,
    next: watch::Sender<u64>,
}

#[derive(Debug)]
struct Window {
    records: VecDeque<(Arc<Record>, Reservation)>,
    /// The position after the newest record, whether that one is still in the window or not.
    next: u64,
    bytes: usize,
}

impl Window {
    /// Removes the oldest record. Returns whether there was one.
    fn remove_oldest(&mut self) -> bool {
        let oldest = self.records.pop_front();
        self.bytes -= oldest.as_ref().map_or(0, |(_, memory)| memory.bytes());
        oldest.is_some()
    }
}

/// The content of a window for a reader.
#[derive(Debug)]
pub(crate) enum FeedRead {
    /// The record at the reader's position.
    Record(Arc<Record>),
    /// There is no record at the reader's position yet.
    CaughtUp,
    /// The reader's position is before the window, which begins at this position. The ledger has the records in between.
    Behind(u64),
}

impl Feed {
    /// Creates an empty window that expects the event at position `next`. Its records take the owner's memory.
    pub(crate) fn new(next: u64, memory: Budget, owner: &str) -> Self {
        let window = Mutex::new(Window { records: VecDeque::new(), next, bytes: 0 });
        Self { memory, owner: owner.to_owned(), window, next: watch::Sender::new(next) }
    }

    /// Returns the position of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.window().next
    }

    /// Returns a receiver that is notified of every new event.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Adds the event at a position. An event at another than the next position is ignored: it was added before, or the
    /// next poll of the ledger adds it together with its predecessors. If there is no memory for it, readers read it from the
    /// ledger.
    pub(crate) fn push(&self, position: u64, record: Arc<Record>) {
        let mut window = self.window();
        if position != window.next {
            return;
        }
        window.next += 1;
        let bytes = record.content_bytes() + OVERHEAD_BYTES;
        while window.records.len() >= MAX_EVENTS || window.bytes + bytes > MAX_BYTES {
            if !window.remove_oldest() {
                break;
            }
        }
        loop {
            match self.memory.try_reserve(&self.owner, bytes) {
                Ok(memory) => {
                    window.bytes += bytes;
                    window.records.push_back((record, memory));
                    break;
                }
                // The window has no gaps: without this record it is empty.
                Err(_) if !window.remove_oldest() => break,
                Err(_) => {}
            }
        }
        self.next.send_replace(window.next);
    }

    /// Empties the window and continues at `next`. Readers read the skipped events from the ledger.
    pub(crate) fn skip_to(&self, next: u64) {
        let mut window = self.window();
        if next > window.next {
            *window = Window { records: VecDeque::new(), next, bytes: 0 };
            self.next.send_replace(next);
        }
    }

    /// Returns the event at a position.
    pub(crate) fn read(&self, position: u64) -> FeedRead {
        let window = self.window();
        if position >= window.next {
            return FeedRead::CaughtUp;
        }
        let oldest = window.next - window.records.len() as u64;
        let Some(skipped) = position.checked_sub(oldest) else { return FeedRead::Behind(oldest) };
        let skipped = usize::try_from(skipped).expect("a window has at most MAX_EVENTS records");
        window.records.get(skipped).map_or(FeedRead::CaughtUp, |(record, _)| FeedRead::Record(Arc::clone(record)))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("the lock is only held to move records")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::event::{Header, PayloadMode};
    use sealbus_core::hash::Hash;
    use sealbus_core::seal::KeyId;
    use sealbus_core::timestamp::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn record(seq: u64, bytes: usize) -> Arc<Record> {
        let time = Timestamp::parse("2026-11-20T10:00:00Z").unwrap();
        let hash = Hash::of(b"");
        Arc::new(Record {
            header: Header {
                origin: "o".into(),
                tenant: "t".into(),
                plan: "p".into(),
                seq,
                event_id: Uuid::nil(),
                event_type: "x".into(),
                data_version: 1,
                occurred: time,
                recorded: time,
                source: String::new(),
                actor: String::new(),
                correlation_id: String::new(),
                causation_id: String::new(),
                payload_mode: PayloadMode::Plain,
                payload_size: 0,
                payload_hash: hash,
                metadata_hash: hash,
                prev: hash,
                kid: KeyId::new("hmac-0000000000000000"),
            },
            event_hash: hash,
            mac: Vec::new(),
            sig: Vec::new(),
            payload: Some("x".repeat(bytes)),
            metadata: String::new(),
            request_mac: Vec::new(),
            v1: None,
            log_index: None,
        })
    }

    fn feed(next: u64) -> Feed {
        Feed::new(next, Budget::new("tests", 4 * MAX_BYTES), "a")
    }

    /// Reads the seqs from a position on.
    fn seqs(feed: &Feed, position: u64) -> Vec<u64> {
        let record = |position| match feed.read(position) {
            FeedRead::Record(record) => Some(record.header.seq),
            FeedRead::CaughtUp => None,
            FeedRead::Behind(oldest) => panic!("the window begins at {oldest}"),
        };
        (position..).map_while(record).collect()
    }

    #[test]
    fn a_reader_gets_the_events_from_its_position_on() {
        let feed = feed(5);
        assert!(matches!(feed.read(5), FeedRead::CaughtUp));
        (5..8).for_each(|seq| feed.push(seq, record(seq, 1)));
        assert_eq!(seqs(&feed, 5), [5, 6, 7]);
        assert_eq!(seqs(&feed, 6), [6, 7]);
        assert!(matches!(feed.read(8), FeedRead::CaughtUp));
        assert!(matches!(feed.read(9), FeedRead::CaughtUp));
        assert!(matches!(feed.read(4), FeedRead::Behind(5)));
    }

    #[test]
    fn an_event_that_is_repeated_or_out_of_order_is_ignored() {
        let feed = feed(1);
        for seq in [1, 1, 3, 2, 1, 3] {
            feed.push(seq, record(seq, 1));
        }
        assert_eq!(seqs(&feed, 1), [1, 2, 3]);
    }

    #[test]
    fn readers_are_behind_after_a_skip() {
        let feed = feed(1);
        feed.push(1, record(1, 1));
        feed.skip_to(100);
        assert!(matches!(feed.read(1), FeedRead::Behind(100)));
        feed.push(100, record(100, 1));
        assert_eq!(seqs(&feed, 100), [100]);
        feed.skip_to(50);
        assert_eq!(feed.next(), 101, "a skip moved the window back");
    }

    #[test]
    fn a_window_without_memory_is_empty_and_its_readers_are_behind() {
        let memory = Budget::new("tests", 40_000);
        let (first, second) = (Feed::new(1, memory.clone(), "a"), Feed::new(1, memory.clone(), "a"));
        first.push(1, record(1, 15_000));
        second.push(1, record(1, 15_000));
        assert!(matches!(second.read(1), FeedRead::Behind(2)));
        assert_eq!((seqs(&first, 1), second.next()), (vec![1], 2));
        // Another owner still finds some, and a window makes room for its own newest records.
        let third = Feed::new(1, memory, "b");
        third.push(1, record(1, 5_000));
        third.push(2, record(2, 5_000));
        first.push(2, record(2, 10_000));
        assert_eq!((seqs(&first, 2), seqs(&third, 2)), (vec![2], vec![2]));
    }

    proptest! {
        /// The window stays bounded. A reader gets each event once and in order, or is told that it is behind.
        #[test]
        fn no_reader_misses_an_event(sizes in proptest::collection::vec(0..MAX_BYTES / 2, 1..40), pace in 1..8_usize) {
            let feed = feed(1);
            let mut position = 1;
            for (index, size) in sizes.iter().enumerate() {
                let seq = index as u64 + 1;
                feed.push(seq, record(seq, *size));
                prop_assert!(feed.window().bytes <= MAX_BYTES && feed.window().records.len() <= MAX_EVENTS);
                if index % pace == 0 {
                    loop {
                        match feed.read(position) {
                            FeedRead::Record(record) => {
                                prop_assert_eq!(record.header.seq, position);
                                position += 1;
                            }
                            FeedRead::Behind(oldest) => {
                                prop_assert!(oldest > position);
                                position = oldest;
                            }
                            FeedRead::CaughtUp => break,
                        }
                    }
                    prop_assert_eq!(position, seq + 1);
                }
            }
        }
    }
}
