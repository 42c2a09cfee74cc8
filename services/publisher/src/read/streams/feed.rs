//! A window on the newest events of a plan, or of the log, that any number of streams read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use sealbus_core::event::Record;
use tokio::sync::watch;

/// Events in a window, at most.
const MAX_EVENTS: usize = 512;
/// Payload bytes in a window, at most.
const MAX_BYTES: usize = 1024 * 1024;

/// A window. Places are the seqs of a plan or the indexes of the log: dense, and rising by one.
#[derive(Debug)]
pub struct Feed {
    window: Mutex<Window>,
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct Window {
    records: VecDeque<Arc<Record>>,
    /// The place after the newest record, in the window or gone from it.
    next: u64,
    bytes: usize,
}

/// What a window has for a reader.
#[derive(Debug)]
pub enum Taken {
    /// These, from the reader's place on.
    Records(Vec<Arc<Record>>),
    /// Nothing new yet.
    CaughtUp,
    /// The reader's place is no longer in the window; all before this place are in the ledger.
    Behind(u64),
}

impl Feed {
    /// An empty window, before the event at `next`.
    pub fn new(next: u64) -> Self {
        Self { window: Mutex::new(Window { records: VecDeque::new(), next, bytes: 0 }), news: watch::Sender::new(next) }
    }

    /// The place of the event that will come next.
    pub fn next(&self) -> u64 {
        self.window().next
    }

    /// Tells whenever there is something new.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Puts the event of a place into the window. One that is not the next is passed over: it is there already, or the next
    /// look into the ledger brings it with those before it.
    pub fn push(&self, place: u64, record: Arc<Record>) {
        let mut window = self.window();
        if place != window.next {
            return;
        }
        window.next += 1;
        window.bytes += weight(&record);
        window.records.push_back(record);
        while window.records.len() > MAX_EVENTS || window.bytes > MAX_BYTES {
            let Some(oldest) = window.records.pop_front() else { break };
            window.bytes -= weight(&oldest);
        }
        self.news.send_replace(window.next);
    }

    /// Empties the window and goes on at `next`: what lies between is for each reader to read itself.
    pub fn jump(&self, next: u64) {
        let mut window = self.window();
        if next > window.next {
            *window = Window { records: VecDeque::new(), next, bytes: 0 };
            self.news.send_replace(next);
        }
    }

    /// At most `limit` events from a place on.
    pub fn take(&self, place: u64, limit: usize) -> Taken {
        let window = self.window();
        if place >= window.next {
            return Taken::CaughtUp;
        }
        let oldest = window.next - window.records.len() as u64;
        match place.checked_sub(oldest).and_then(|skipped| usize::try_from(skipped).ok()) {
            Some(skipped) => Taken::Records(window.records.iter().skip(skipped).take(limit).cloned().collect()),
            None => Taken::Behind(oldest),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("no holder of the window panics: it only moves records")
    }
}

fn weight(record: &Record) -> usize {
    record.metadata.len() + record.payload.as_ref().map_or(0, String::len)
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

    fn seqs(taken: Taken) -> Vec<u64> {
        match taken {
            Taken::Records(records) => records.iter().map(|record| record.header.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_gets_what_is_new_from_its_place_on() {
        let feed = Feed::new(5);
        assert!(matches!(feed.take(5, 10), Taken::CaughtUp));
        (5..8).for_each(|seq| feed.push(seq, record(seq, 1)));
        assert_eq!(seqs(feed.take(5, 10)), [5, 6, 7]);
        assert_eq!(seqs(feed.take(6, 1)), [6]);
        assert!(matches!(feed.take(8, 10), Taken::CaughtUp));
        assert!(matches!(feed.take(9, 10), Taken::CaughtUp));
        assert!(matches!(feed.take(4, 10), Taken::Behind(5)));
    }

    #[test]
    fn what_comes_twice_or_too_early_is_passed_over() {
        let feed = Feed::new(1);
        for seq in [1, 1, 3, 2, 1, 3] {
            feed.push(seq, record(seq, 1));
        }
        assert_eq!(seqs(feed.take(1, 10)), [1, 2, 3]);
    }

    #[test]
    fn after_a_jump_readers_are_behind() {
        let feed = Feed::new(1);
        feed.push(1, record(1, 1));
        feed.jump(100);
        assert!(matches!(feed.take(1, 10), Taken::Behind(100)));
        feed.push(100, record(100, 1));
        assert_eq!(seqs(feed.take(100, 10)), [100]);
        feed.jump(50);
        assert_eq!(feed.next(), 101);
    }

    proptest! {
        /// The window stays bounded, and a reader who follows it gets each event once, in order, or is told to read itself.
        #[test]
        fn no_reader_misses_an_event(sizes in proptest::collection::vec(0..MAX_BYTES / 2, 1..40), pace in 1..8_usize) {
            let feed = Feed::new(1);
            let mut place = 1;
            for (at, size) in sizes.iter().enumerate() {
                let seq = at as u64 + 1;
                feed.push(seq, record(seq, *size));
                prop_assert!(feed.window().bytes <= MAX_BYTES && feed.window().records.len() <= MAX_EVENTS);
                if at % pace == 0 {
                    match feed.take(place, 100) {
                        Taken::Records(records) => for record in records {
                            prop_assert_eq!(record.header.seq, place);
                            place += 1;
                        },
                        Taken::Behind(oldest) => {
                            prop_assert!(oldest > place);
                            place = oldest;
                        }
                        Taken::CaughtUp => prop_assert_eq!(place, seq + 1),
                    }
                }
            }
        }
    }
}
