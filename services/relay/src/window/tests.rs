//! The windows against a model of outbox, connection, stream and a second relay, in any interleaving.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

const WINDOW: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The plan gets one more event; ids are drawn as they come.
    Commit(usize),
    /// One of the plan's events is hinted, perhaps long after it was committed.
    Hint(usize, u64),
    /// The outbox is read for the plan; what it showed is used later.
    Look(usize),
    /// What the oldest look showed is used.
    Use,
    /// The relay sends what it may, up to so many.
    Send(usize),
    /// The stream takes the next message of the connection.
    Store,
    /// The stream refuses it.
    Refuse,
    /// An answer reaches the relay.
    Answer,
    /// The connection breaks: what the stream has not seen is lost, and the answers are too.
    Break,
    /// The relay deletes what was acknowledged.
    Delete,
    /// Another relay sends and deletes the plan's smallest row.
    Other(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let plan = 0_usize..2;
    prop_oneof![
        3 => plan.clone().prop_map(Step::Commit),
        3 => (plan.clone(), 1_u64..12).prop_map(|(plan, seq)| Step::Hint(plan, seq)),
        2 => plan.clone().prop_map(Step::Look),
        2 => Just(Step::Use),
        4 => (1_usize..5).prop_map(Step::Send),
        5 => Just(Step::Store),
        1 => Just(Step::Refuse),
        5 => Just(Step::Answer),
        1 => Just(Step::Break),
        2 => Just(Step::Delete),
        1 => plan.prop_map(Step::Other),
    ]
}

struct Message {
    plan: usize,
    seq: u64,
    ticket: u64,
}

struct LookResult {
    plan: usize,
    rows: Vec<(i64, u64)>,
    /// The highest row that waited when the look began.
    up_to: u64,
    gone: HashSet<i64>,
}

struct World {
    windows: Windows<u64>,
    plans: [PlanId; 2],
    committed: [u64; 2],
    outbox: BTreeMap<(usize, u64), i64>,
    ids: BTreeMap<(usize, u64), i64>,
    /// The stream, first copies only: within the window a repeated id is one message.
    stream: Vec<(usize, u64)>,
    connection: VecDeque<Message>,
    answers: VecDeque<(Message, bool)>,
    to_delete: Vec<(i64, usize, u64)>,
    looks: VecDeque<LookResult>,
    refused: bool,
}

impl World {
    fn new() -> Self {
        let plan = |name: &str| Arc::new(PlanName { tenant: "acme".to_owned(), plan: name.to_owned() });
        Self {
            windows: Windows::new(WINDOW, 100),
            plans: [plan("a"), plan("b")],
            committed: [0; 2],
            outbox: BTreeMap::new(),
            ids: BTreeMap::new(),
            stream: Vec::new(),
            connection: VecDeque::new(),
            answers: VecDeque::new(),
            to_delete: Vec::new(),
            looks: VecDeque::new(),
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
                self.windows.offer(&self.plans[plan], seq, row, Source::Hint);
            }
            Step::Look(plan) => {
                let up_to = self
                    .windows
                    .plans
                    .get(&self.plans[plan])
                    .and_then(|plan| plan.waiting.last_key_value().map(|(seq, _)| *seq));
                let look = LookResult { plan, rows: self.rows(plan), up_to: up_to.unwrap_or(0), gone: HashSet::new() };
                self.looks.push_back(look);
            }
            Step::Use => self.use_look(),
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
            Step::Break => {
                self.connection.clear();
                self.answers.clear();
                self.windows.connection_lost();
            }
            Step::Delete => {
                for (id, plan, seq) in std::mem::take(&mut self.to_delete) {
                    self.outbox.remove(&(plan, seq));
                    self.windows.deleted(id);
                    for look in &mut self.looks {
                        look.gone.insert(id);
                    }
                }
            }
            Step::Other(plan) => {
                if let Some((_, seq)) = self.rows(plan).first().copied() {
                    self.store(plan, seq);
                    self.outbox.remove(&(plan, seq));
                }
            }
            Step::Hint(..) => {}
        }
    }

    fn use_look(&mut self) {
        let Some(LookResult { plan, rows, up_to, gone }) = self.looks.pop_front() else { return };
        let id = Arc::clone(&self.plans[plan]);
        let Some((_, smallest)) = rows.first() else {
            self.windows.drop_waiting(&id, up_to);
            return;
        };
        self.windows.smallest(&id, *smallest);
        for (row, seq) in rows {
            if !self.windows.knows(row) && !gone.contains(&row) {
                self.windows.offer(&id, seq, Row { id: row, bytes: 1, event: seq }, Source::Outbox);
            }
        }
    }

    fn send(&mut self) {
        let Some(Sending { plan, seq, ticket, event }) = self.windows.send_next() else { return };
        assert_eq!(event, seq);
        let plan = self.plans.iter().position(|id| *id == plan).unwrap();
        // Rule 1: each elder is held by the stream, or was sent on this connection and has not been seen to fail.
        let under_way: BTreeSet<u64> = self
            .connection
            .iter()
            .chain(self.answers.iter().map(|(message, _)| message))
            .filter(|message| message.plan == plan)
            .map(|message| message.seq)
            .collect();
        for elder in 1..seq {
            assert!(
                self.stream.contains(&(plan, elder)) || under_way.contains(&elder),
                "{seq} was sent before {elder}"
            );
        }
        self.connection.push_back(Message { plan, seq, ticket });
        let in_flight = self.windows.plans[&self.plans[plan]].sent.len();
        assert!(in_flight <= WINDOW, "{in_flight} in flight");
    }

    fn answer(&mut self) {
        let Some((Message { plan, seq, ticket }, stored)) = self.answers.pop_front() else { return };
        let id = Arc::clone(&self.plans[plan]);
        if stored {
            if let Some(row) = self.windows.acknowledged(&id, seq, ticket) {
                self.to_delete.push((row.id, plan, seq));
            }
        } else {
            self.windows.failed(&id, seq, ticket);
        }
    }

    /// From here on nothing fails: how it all ends.
    fn settle(&mut self) {
        for _ in 0..200 {
            for plan in 0..2 {
                self.take(Step::Look(plan));
                self.take(Step::Use);
            }
            while !self.looks.is_empty() {
                self.take(Step::Use);
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
    fn nothing_is_lost_and_no_rule_is_broken(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        prop_assert!(world.outbox.is_empty(), "still owed: {:?}", world.outbox);
        prop_assert_eq!((world.windows.rows(), world.windows.bytes(), world.windows.in_flight()), (0, 0, 0));
        prop_assert!(world.windows.known.is_empty());
        for plan in 0..2 {
            let order: Vec<u64> = world.stream.iter().filter(|(of, _)| *of == plan).map(|(_, seq)| *seq).collect();
            let all: Vec<u64> = (1..=world.committed[plan]).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &all);
            // A stream that refuses one of a window and takes a later breaks the order, and nothing else does.
            if !world.refused {
                prop_assert_eq!(&order, &all);
            }
        }
    }
}

fn plan() -> PlanId {
    Arc::new(PlanName { tenant: "acme".to_owned(), plan: "order-1".to_owned() })
}

fn row(id: i64) -> Row<&'static str> {
    Row { id, bytes: 10, event: "event" }
}

fn sent(windows: &mut Windows<&'static str>) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| windows.send_next().map(|sending| (sending.seq, sending.ticket))).collect()
}

#[test]
fn after_a_failure_at_n_again_from_n() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    for seq in 1..=5 {
        windows.offer(&plan, seq, row(i64::try_from(seq).unwrap()), Source::Outbox);
    }
    let first = sent(&mut windows);
    assert_eq!(first.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(windows.acknowledged(&plan, 1, first[0].1).is_some());
    windows.failed(&plan, 2, first[1].1);
    let again = sent(&mut windows);
    assert_eq!(again.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 4, 5]);
    // The first attempt at 3 fails too, later: it has been given up already.
    windows.failed(&plan, 3, first[2].1);
    assert_eq!(sent(&mut windows), []);
    // The first attempt at 4 was stored after all: one acknowledgement is enough.
    assert!(windows.acknowledged(&plan, 4, first[3].1).is_some());
    assert!(windows.acknowledged(&plan, 4, again[2].1).is_none());
}

#[test]
fn a_hint_waits_for_its_elder_until_the_outbox_was_asked() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    assert!(windows.offer(&plan, 7, row(70), Source::Hint));
    assert_eq!(sent(&mut windows), []);
    assert_eq!(windows.take_undecided(10), [(Arc::clone(&plan), 7, 7)]);
    assert_eq!(windows.take_undecided(10), [], "it is asked about once");
    windows.ask_again();
    assert_eq!(windows.take_undecided(10).len(), 1);
    windows.smallest(&plan, 7);
    assert_eq!(sent(&mut windows).len(), 1);
    // What comes next needs no question any more.
    windows.offer(&plan, 8, row(80), Source::Hint);
    assert_eq!(sent(&mut windows).len(), 1);
    assert!(!windows.has_undecided());
}

#[test]
fn a_late_hint_is_nothing_and_a_row_that_is_still_there_is_owed() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    windows.offer(&plan, 1, row(10), Source::Hint);
    let ticket = sent(&mut windows)[0].1;
    windows.acknowledged(&plan, 1, ticket);
    windows.deleted(10);
    assert!(!windows.offer(&plan, 1, row(10), Source::Hint));
    assert!(
        windows.offer(&plan, 1, row(11), Source::Outbox),
        "the ledger has lost the delete, or another event is its seq 1 now"
    );
    assert_eq!(sent(&mut windows).len(), 1);
}

#[test]
fn an_acknowledgement_counts_for_the_event_that_was_sent_alone() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    windows.offer(&plan, 1, row(10), Source::Hint);
    let ticket = sent(&mut windows)[0].1;
    windows.connection_lost();
    // After a failover the outbox names another event at this place.
    windows.offer(&plan, 1, row(11), Source::Outbox);
    assert!(windows.acknowledged(&plan, 1, ticket).is_none(), "the other event was not acknowledged");
    assert_eq!(sent(&mut windows).len(), 1);
}

#[test]
fn what_is_idle_is_forgotten_when_there_is_too_much_of_it() {
    let mut windows = Windows::new(64, 10);
    for number in 0..1_000 {
        let plan = Arc::new(PlanName { tenant: "acme".to_owned(), plan: number.to_string() });
        windows.offer(&plan, 1, row(number), Source::Hint);
        let ticket = sent(&mut windows)[0].1;
        windows.acknowledged(&plan, 1, ticket);
        windows.deleted(number);
    }
    assert!(windows.plans.len() <= 22, "{}", windows.plans.len());
}

#[test]
fn the_smallest_row_vouches_for_its_elders_and_not_for_itself() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    windows.offer(&plan, 8, row(80), Source::Hint);
    windows.smallest(&plan, 7);
    assert_eq!(sent(&mut windows), [], "7 is owed, and not here");
    windows.offer(&plan, 7, row(70), Source::Outbox);
    assert_eq!(sent(&mut windows).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn an_empty_outbox_says_nothing_of_what_came_after() {
    let (mut windows, plan) = (Windows::new(64, 10), plan());
    windows.offer(&plan, 7, row(70), Source::Hint);
    assert_eq!(windows.take_undecided(10), [(Arc::clone(&plan), 7, 7)]);
    windows.offer(&plan, 9, row(90), Source::Hint);
    // The outbox holds none of the plan: another relay had sent 7. It was asked before 9 came.
    windows.drop_waiting(&plan, 7);
    assert!(!windows.knows(70) && windows.knows(90));
}
