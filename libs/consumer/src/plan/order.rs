//! The rule for what an arriving event is to its plan: next, early, a duplicate or a fork. It is pure.
//!
//! The decision depends on the position and on the event alone (docs/spec/protocol.md#consume-2,
//! docs/spec/protocol.md#consume-4, docs/spec/protocol.md#consume-8). The event's seal was checked before: the seal
//! shows that the event is authentic, the hashes show here whether it is the event that belongs at its place.

use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_ledger::delivery::positions::{Position, PositionState};

/// The most missing events that are read from the ledger at once; a wider gap is left to replay.
pub(crate) const MAX_GAP: u32 = 100;

/// Moves a position in memory past the plan's next event, as the ledger moves the stored one.
pub(crate) fn advance(position: &mut Position, event: &Record) {
    position.next_seq = event.header.seq + 1;
    position.last_hash = event.event_hash;
    (position.stored, position.attempts, position.agrees) = (true, 0, true);
}

/// Consecutive events of one plan that are to be applied, the first of them next at the position.
pub(crate) struct Batch<'a> {
    pub from: &'a Position,
    pub records: &'a [Arc<Record>],
}

impl Batch<'_> {
    /// Returns the position after the first `count` events of the batch.
    pub(crate) fn position_after(&self, count: usize) -> Position {
        let mut position = self.from.clone();
        if let Some(last) = self.records[..count].last() {
            advance(&mut position, last);
        }
        position
    }

    /// Returns the position after the whole batch.
    pub(crate) fn end(&self) -> Position {
        self.position_after(self.records.len())
    }
}

/// The facts about an arriving event on which the decision depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arriving {
    pub seq: u64,
    pub event_hash: Hash,
    /// The hash of the event's predecessor, as the event states it.
    pub prev: Hash,
    /// Whether the event was delivered so often, without being applied, that it may have ended the process each time.
    pub suspect: bool,
    /// Whether the plan or tenant of the event has more in memory than it may have.
    pub over_limit: bool,
}

/// The relation of an arriving event to its plan, which decides how the event is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The event is the plan's next one. It is applied.
    Next,
    /// Predecessors of the event did not arrive. They are read from the ledger and applied, then the event is decided
    /// again.
    Gap {
        /// The first missing seq.
        from: u64,
        /// The last missing seq, inclusive.
        to: u64,
    },
    /// An event with this seq is applied already. The event is decided again with the hash that was applied there.
    Compare,
    /// The event is applied already. Its message is acknowledged.
    Duplicate,
    /// Another event was applied at this seq, or the event links to another predecessor. The plan stops: no handler
    /// runs until an operator has chosen.
    Fork,
    /// The event may have ended the process each time it was delivered. The plan is parked, and an attempt counted,
    /// before the handler runs.
    Suspect,
    /// Too much of the plan or tenant is in memory, or too many predecessors are missing. The plan is deferred: it is
    /// replayed from the ledger.
    Defer,
    /// The position is not live. The event is noted as seen, and is applied by replay.
    NotLive,
}

/// The next step for a plan after its consecutive next events have been applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterBatch {
    /// Nothing: the plan stays live.
    Nothing,
    /// The position is not live: record the highest seq that was seen, so that the messages may be acknowledged.
    MarkSeen,
    /// Defer the plan: replay it from the ledger.
    Defer,
    /// Park the plan, and count an attempt for a suspect event of this type.
    ParkSuspect(String),
    /// Park the plan, because the ledger lacks an event or holds one that cannot be read or verified. The text gives
    /// the reason.
    ParkMissing(String),
    /// Stop the plan at a fork. The text describes both events.
    StopAtFork(String),
}

/// Decides what an arriving event is. `position` is past the events of the batch that is being gathered. `applied` is
/// the hash of the event that was applied at the seq of the arriving one, if it is known.
pub(crate) fn decide(position: &Position, arriving: &Arriving, applied: Option<Hash>) -> Decision {
    if position.state == PositionState::Fork {
        return Decision::NotLive;
    }
    if arriving.seq < position.next_seq {
        return match applied {
            None => Decision::Compare,
            Some(applied) if applied == arriving.event_hash => Decision::Duplicate,
            Some(_) => Decision::Fork,
        };
    }
    if arriving.seq == position.next_seq && arriving.prev != position.last_hash {
        return Decision::Fork;
    }
    if position.state != PositionState::Live {
        return Decision::NotLive;
    }
    if arriving.over_limit || arriving.seq - position.next_seq > u64::from(MAX_GAP) {
        return Decision::Defer;
    }
    if arriving.suspect {
        return Decision::Suspect;
    }
    if arriving.seq == position.next_seq {
        return Decision::Next;
    }
    Decision::Gap { from: position.next_seq, to: arriving.seq - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The hash of event `seq` in a history. Histories with different numbers have no event in common.
    fn hash(seq: u64, history: u8) -> Hash {
        Hash::of(&[&[history][..], &seq.to_be_bytes()].concat())
    }

    fn chain(length: u64) -> Vec<Hash> {
        (0..=length).map(|seq| hash(seq, 0)).collect()
    }

    fn arriving(seq: u64) -> Arriving {
        Arriving { seq, event_hash: hash(seq, 0), prev: hash(seq - 1, 0), suspect: false, over_limit: false }
    }

    fn position(next_seq: u64, state: PositionState) -> Position {
        Position {
            plan_no: 1,
            next_seq,
            last_hash: hash(next_seq - 1, 0),
            seen_seq: 0,
            state,
            stored: true,
            attempts: 0,
            command: None,
            agrees: true,
        }
    }

    const REPLAYED_STATES: [PositionState; 3] = [PositionState::Deferred, PositionState::Parked, PositionState::Dead];

    proptest! {
        /// The model is a list of applied seqs. Whatever order, loss and duplication the stream shows, a live position
        /// applies each event of the ledger once and in order, up to the highest that arrived.
        #[test]
        fn any_delivery_of_a_chain_applies_it_once_in_order(length in 1..60_u64, stream in prop::collection::vec(1..60_u64, 0..200)) {
            let ledger = chain(length);
            let mut applied: Vec<u64> = Vec::new();
            for seq in stream.into_iter().map(|seq| (seq - 1) % length + 1) {
                let mut known = None;
                loop {
                    let next_seq = applied.len() as u64 + 1;
                    match decide(&position(next_seq, PositionState::Live), &arriving(seq), known) {
                        Decision::Next => applied.push(seq),
                        Decision::Gap { from, to } => {
                            prop_assert_eq!((from, to), (next_seq, seq - 1));
                            applied.extend(from..=to);
                            continue;
                        }
                        Decision::Compare => {
                            known = Some(ledger[usize::try_from(seq).unwrap()]);
                            continue;
                        }
                        Decision::Duplicate => prop_assert!(applied.contains(&seq)),
                        other => prop_assert!(false, "event {seq} of the ledger's own chain, at next_seq {next_seq}: {other:?}"),
                    }
                    break;
                }
                prop_assert!(applied.contains(&seq));
            }
            prop_assert_eq!(&applied, &(1..=applied.len() as u64).collect::<Vec<_>>());
        }

        /// An event of another history stops the plan, at an applied seq and as the next one, and is never applied.
        #[test]
        fn another_history_is_never_run(next_seq in 2..50_u64, seq in 1..50_u64, over_limit: bool, suspect: bool) {
            prop_assume!(seq <= next_seq);
            let other = Arriving { event_hash: hash(seq, 1), prev: hash(seq - 1, 1), over_limit, suspect, seq };
            for state in [PositionState::Live, PositionState::Deferred, PositionState::Parked, PositionState::Dead] {
                prop_assert_eq!(decide(&position(next_seq, state), &other, Some(hash(seq, 0))), Decision::Fork);
            }
        }

        /// A position that is not live applies nothing that arrives.
        #[test]
        fn a_position_that_is_not_live_applies_no_arriving_event(next_seq in 1..50_u64, seq in 1..300_u64, over_limit: bool, suspect: bool) {
            let arriving = Arriving { suspect, over_limit, ..arriving(seq) };
            for state in REPLAYED_STATES {
                let expected = if seq < next_seq { Decision::Duplicate } else { Decision::NotLive };
                prop_assert_eq!(decide(&position(next_seq, state), &arriving, Some(hash(seq, 0))), expected);
            }
            prop_assert_eq!(decide(&position(next_seq, PositionState::Fork), &arriving, Some(hash(seq, 0))), Decision::NotLive);
        }

        /// Suspect events, events over the limit, and events behind a gap wider than one read are not applied.
        #[test]
        fn suspect_over_limit_and_distant_events_are_not_applied(next_seq in 1..50_u64, ahead in 0..300_u64) {
            let event = arriving(next_seq + ahead);
            let live = position(next_seq, PositionState::Live);
            let too_far = ahead > u64::from(MAX_GAP);
            let expected = if too_far { Decision::Defer } else { Decision::Suspect };
            prop_assert_eq!(decide(&live, &Arriving { suspect: true, ..event }, None), expected);
            prop_assert_eq!(decide(&live, &Arriving { over_limit: true, ..event }, None), Decision::Defer);
            prop_assert_eq!(decide(&live, &event, None) == Decision::Defer, too_far);
        }
    }

    #[test]
    fn an_applied_seq_whose_hash_is_unknown_is_never_a_duplicate() {
        assert_eq!(decide(&position(5, PositionState::Live), &arriving(3), None), Decision::Compare);
    }
}
