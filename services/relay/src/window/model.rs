//! The windows against a model of outbox, connection, stream and a second relay, in any interleaving.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

const MAX_IN_FLIGHT: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An event is appended to the plan, and gets the next outbox id.
    Commit(usize),
    /// A committed event of the plan is hinted, perhaps long after its commit.
    Hint(usize, u64),
    /// The outbox is read for the plan. The result is used later.
    Scan(usize),
    /// The result of the oldest scan is used.
    UseScan,
    /// The relay sends up to this many events.
    Send(usize),
    /// The stream stores the next message of the connection.
    Store,
    /// The stream refuses the next message of the connection.
    Refuse,
    /// An answer of the stream reaches the relay.
    Answer,
    /// The connection is lost, with the messages and answers on it.
    LoseConnection,
    /// The relay deletes the acknowledged rows.
    Delete,
    /// Another relay sends the plan's smallest row, and deletes it.
    OtherRelay(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let plan = 0_usize..2;
    prop_oneof![
        3 => plan.clone().prop_map(Step::Commit),
        3 => (plan.clone(), 1_u64..12).prop_map(|(plan, seq)| Step::Hint(plan, seq)),
        2 => plan.clone().prop_map(Step::Scan),
        2 => Just(Step::UseScan),
        4 => (1_usize..5).prop_map(Step::Send),
        5 => Just(Step::Store),
        1 => Just(Step::Refuse),
        5 => Just(Step::Answer),
        1 => Just(Step::LoseConnection),
        2 => Just(Step::Delete),
        1 => plan.prop_map(Step::OtherRelay),
    ]
}

/// A message on the connection.
struct Message {
    plan: usize,
    seq: u64,
    attempt: u64,
}

/// The result of a scan that was not used yet.
struct Scan {
    plan: usize,
    /// Id and seq of each row.
    rows: Vec<(i64, u64)>,
    /// The highest seq that waited when the scan started.
    highest_waiting: u64,
    /// The rows that were deleted since the scan started.
    deleted: HashSet<i64>,
}

struct World {
    windows: Windows<u64>,
    plans: [PlanId; 2],
    /// The head seq of each plan.
    committed: [u64; 2],
    /// The outbox id of each row, by plan and seq.
    outbox: BTreeMap<(usize, u64), i64>,
    /// The outbox id of each event that was ever committed.
    ids: BTreeMap<(usize, u64), i64>,
    /// The first copies of messages in the stream, which drops duplicates.
    stream: Vec<(usize, u64)>,
    connection: VecDeque<Message>,
    /// Messages with whether they were stored.
    answers: VecDeque<(Message, bool)>,
    /// Id, plan and seq of acknowledged rows.
    to_delete: Vec<(i64, usize, u64)>,
    scans: VecDeque<Scan>,
    /// Whether the stream ever refused a message.
    refused: bool,
}

impl World {
    fn new() -> Self {
        let plan = |name: &str| PlanId { tenant: "acme".into(), name: name.into() };
        Self {
            windows: Windows::new(MAX_IN_FLIGHT, 100),
            plans: [plan("a"), plan("b")],
            committed: [0; 2],
            outbox: BTreeMap::new(),
            ids: BTreeMap::new(),
            stream: Vec::new(),
            connection: VecDeque::new(),
            answers: VecDeque::new(),
            to_delete: Vec::new(),
            scans: VecDeque::new(),
            refused: false,
        }
    }

    fn rows(&self, plan: usize) -> Vec<(i64, u64)> {
        self.outbox.iter().filter(|((of, _), _)| *of == plan).map(|((_, seq), id)| (*id, *seq)).collect()
    }

    fn store(&mut self, plan: usize, seq: u64) {
        if !self.stream.contains(&(plan, seq)) {
            self.stream.push((plan, seq));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit(plan) => {
                self.committed[plan] += 1;
                let id = i64::try_from(self.ids.len()).unwrap() + 1;
                self.ids.insert((plan, self.committed[plan]), id);
                self.outbox.insert((plan, self.committed[plan]), id);
            }
            Step::Hint(plan, seq) if seq <= self.committed[plan] => {
                let row = Row { id: self.ids[&(plan, seq)], bytes: 1, event: seq };
                self.windows.add(&self.plans[plan], seq, row, Source::Hint);
            }
            Step::Hint(..) => {}
            Step::Scan(plan) => {
                let window = self.windows.plans.get(&self.plans[plan]);
                let highest = window.and_then(|window| window.waiting.last_key_value().map(|(seq, _)| *seq));
                let (rows, highest_waiting) = (self.rows(plan), highest.unwrap_or(0));
                self.scans.push_back(Scan { plan, rows, highest_waiting, deleted: HashSet::new() });
            }
            Step::UseScan => self.use_scan(),
            Step::Send(count) => (0..count).for_each(|_| self.send()),
            Step::Store => {
                if let Some(message) = self.connection.pop_front() {
                    self.store(message.plan, message.seq);
                    self.answers.push_back((message, true));
                }
            }
            Step::Refuse => {
                if let Some(message) = self.connection.pop_front() {
                    self.refused = true;
                    self.answers.push_back((message, false));
                }
            }
            Step::Answer => self.answer(),
            Step::LoseConnection => {
                self.connection.clear();
                self.answers.clear();
                self.windows.on_connection_lost();
            }
            Step::Delete => {
                for (id, plan, seq) in std::mem::take(&mut self.to_delete) {
                    self.outbox.remove(&(plan, seq));
                    self.windows.on_row_deleted(id);
                    for scan in &mut self.scans {
                        scan.deleted.insert(id);
                    }
                }
            }
            Step::OtherRelay(plan) => {
                if let Some((_, seq)) = self.rows(plan).first().copied() {
                    self.store(plan, seq);
                    self.outbox.remove(&(plan, seq));
                }
            }
        }
    }

    fn use_scan(&mut self) {
        let Some(Scan { plan, rows, highest_waiting, deleted }) = self.scans.pop_front() else { return };
        let plan = self.plans[plan].clone();
        let Some((_, smallest)) = rows.first() else {
            self.windows.drop_waiting(&plan, highest_waiting);
            return;
        };
        self.windows.set_smallest(&plan, *smallest);
        for (id, seq) in rows {
            if !self.windows.knows_row(id) && !deleted.contains(&id) {
                self.windows.add(&plan, seq, Row { id, bytes: 1, event: seq }, Source::Outbox);
            }
        }
    }

    /// Sends one event, and asserts that it may be sent: each predecessor is in the stream, or in flight on this connection.
    fn send(&mut self) {
        let Some(Attempt { plan, seq, number: attempt, event }) = self.windows.next_to_send() else { return };
        assert_eq!(event, seq);
        let plan = self.plans.iter().position(|id| *id == plan).unwrap();
        let in_flight: BTreeSet<u64> = self
            .connection
            .iter()
            .chain(self.answers.iter().map(|(message, _)| message))
            .filter(|message| message.plan == plan)
            .map(|message| message.seq)
            .collect();
        for predecessor in 1..seq {
            assert!(
                self.stream.contains(&(plan, predecessor)) || in_flight.contains(&predecessor),
                "event {seq} was sent before its predecessor {predecessor}"
            );
        }
        self.connection.push_back(Message { plan, seq, attempt });
        let in_flight = self.windows.plans[&self.plans[plan]].in_flight.len();
        assert!(in_flight <= MAX_IN_FLIGHT, "{in_flight} events of one plan are in flight");
    }

    fn answer(&mut self) {
        let Some((Message { plan, seq, attempt }, stored)) = self.answers.pop_front() else { return };
        let id = self.plans[plan].clone();
        if stored {
            if let Some(row) = self.windows.on_acknowledged(&id, seq, attempt) {
                self.to_delete.push((row.id, plan, seq));
            }
        } else {
            self.windows.on_failed(&id, seq, attempt);
        }
    }

    /// Takes all steps without failures until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..200 {
            for plan in 0..2 {
                self.take(Step::Scan(plan));
                self.take(Step::UseScan);
            }
            while !self.scans.is_empty() {
                self.take(Step::UseScan);
            }
            self.take(Step::Send(100));
            while !self.connection.is_empty() {
                self.take(Step::Store);
            }
            while !self.answers.is_empty() {
                self.take(Step::Answer);
            }
            self.take(Step::Delete);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_relayed_and_no_rule_is_broken(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();

        // Everything was sent, and nothing is left in memory.
        prop_assert!(world.outbox.is_empty(), "the outbox still has {:?}", world.outbox);
        prop_assert_eq!((world.windows.events(), world.windows.bytes(), world.windows.in_flight()), (0, 0, 0));
        prop_assert!(world.windows.known_rows.is_empty());
        for plan in 0..2 {
            let order: Vec<u64> = world.stream.iter().filter(|(of, _)| *of == plan).map(|(_, seq)| *seq).collect();
            let all: Vec<u64> = (1..=world.committed[plan]).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &all);
            // Only a stream that refuses one message of a window and stores a later one breaks the order.
            if !world.refused {
                prop_assert_eq!(&order, &all);
            }
        }
    }
}
